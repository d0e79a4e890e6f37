import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { variableTable } from '../src/table.js'

const page = readFileSync(new URL('../../../docs/reference/settings.md', import.meta.url), 'utf8')

test('the table of settings has every variable, with what it expects, its default and its purpose', () => {
  const documented = page
    .split('\n')
    .filter((line) => line.startsWith('| `SEALFLEET_'))
    .map((line) =>
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim()),
    )
  const expected = variableTable().map((row) => [
    `\`${row.name}\``,
    row.section,
    row.expects,
    ['required', 'optional'].includes(row.presence) ? row.presence : `\`${row.presence}\``,
    row.description,
  ])
  expect(documented).toEqual(expected)
})
