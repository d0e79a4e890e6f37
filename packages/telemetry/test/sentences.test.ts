import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { expect, test } from 'vitest'
import { scrubText } from '../src/scrub.js'

const ROOT = path.resolve(import.meta.dirname, '../../..')
/** String literals and templates of one line; whatever is put into a template stands as one word. */
const LITERAL = /'((?:[^'\\\n]|\\.)*)'|"((?:[^"\\\n]|\\.)*)"|`((?:[^`\\\n]|\\.)*)`/g

function sources(): string[] {
  return ['packages', 'apps'].flatMap((folder) =>
    readdirSync(path.join(ROOT, folder)).flatMap((name) => {
      const src = path.join(ROOT, folder, name, 'src')
      return readdirSync(src, { recursive: true, encoding: 'utf8' })
        .filter((file) => file.endsWith('.ts') && !file.includes('generated') && !file.endsWith('scrub.ts'))
        .map((file) => path.join(src, file))
    }),
  )
}

/** What reads as a sentence of ours: words with spaces between them, no code and no SQL. */
function sentences(): string[] {
  const found = new Set<string>()
  for (const file of sources()) {
    for (const [, single, double, template] of readFileSync(file, 'utf8').matchAll(LITERAL)) {
      const text = (single ?? double ?? template?.replace(/\$\{[^{}]*\}/g, 'x') ?? '')
        .replace(/\\(['"`\\])/g, '$1')
        .trim()
      if (/[a-z]{2,} [a-z]{2,}/i.test(text) && !/[\\{]|=>|\bimport\b/.test(text) && text.length < 500) found.add(text)
    }
  }
  return [...found]
}

test('no word is taken out of our own sentences: messages, causes, advice, help', () => {
  const all = sentences()
  expect(all.length).toBeGreaterThan(2_000)
  expect(all.filter((text) => scrubText(text) !== text).map((text) => [text, scrubText(text)])).toEqual([])
})
