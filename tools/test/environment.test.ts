import { execFileSync } from 'node:child_process'
import { parseEnv } from 'node:util'
import { expect, it } from 'vitest'
import { formatEnvironment } from '../lib/environment.mjs'

const values = {
  URL: 'redis://:0a1b@127.0.0.1:6379',
  EMPTY: '',
  BLANKS: '/home/a b/c',
  SHELL: '$HOME `id` "x" \\ ; & | # !',
  BRACES: '{sealfleet}',
}

it('is read alike by a shell and by Node', () => {
  const text = formatEnvironment(values)
  expect(parseEnv(text)).toEqual(values)
  const script = `${text}for name in ${Object.keys(values).join(' ')}; do eval "printf '%s\\n' \\"\\$$name\\""; done`
  expect(execFileSync('sh', ['-c', script], { encoding: 'utf8' })).toBe(`${Object.values(values).join('\n')}\n`)
})

it('refuses what the two would read differently', () => {
  expect(() => formatEnvironment({ A: `it's "x"` })).toThrow('A')
  expect(() => formatEnvironment({ A: 'two\nlines' })).toThrow('A')
})
