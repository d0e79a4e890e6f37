import { expect, test } from 'vitest'
import { said } from '../src/text/index.js'

test.each([
  ['permission denied for table files', 'permission denied for table files'],
  ['first\nsecond\u202e', 'first second'],
  ['connect postgres://u:hunter2@h/d failed.', 'connect postgres://[redacted]@h/d failed'],
  ['password=hunter2 is wrong', 'password=[redacted] is wrong'],
  ['', ''],
])('%j is repeated as %j', (words, shown) => {
  expect(said(words)).toContain(shown)
  expect(said(words)).not.toMatch(/hunter2|\n|\u202e/)
})

test('a dump is cut', () => {
  expect(said('word '.repeat(1_000)).length).toBeLessThanOrEqual(301)
})
