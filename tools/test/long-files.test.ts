import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { tempDir } from '@sealfleet/testkit'
import { expect, it } from 'vitest'
import { longFiles } from '../lib/long-files.mjs'
import { checkout } from '../lib/places.mjs'

it('finds the suites that hold a test of the long run, however it is marked', async () => {
  await using dir = await tempDir()
  const files = {
    'packages/a/test/tagged.test.ts': `it('x', { tags: ['long'] }, () => {})`,
    'packages/a/test/deep/rows.test.ts': `matrix(ROWS, every(2))('x', () => {})`,
    'apps/b/test/longer.test.ts': `longTest('x', () => {})`,
    'apps/b/test/short.test.ts': `it('a long way', () => {})`,
    'apps/b/test/helper.ts': `longTest('x', () => {})`,
    'tools/test/whole.test.ts': `/** @module-tag long */`,
  }
  for (const [name, text] of Object.entries(files)) {
    await mkdir(join(dir.path, name, '..'), { recursive: true })
    await writeFile(join(dir.path, name), text)
  }
  expect(await longFiles(dir.path)).toEqual([
    'apps/b/test/longer.test.ts',
    'packages/a/test/deep/rows.test.ts',
    'packages/a/test/tagged.test.ts',
    'tools/test/whole.test.ts',
  ])
})

it('finds those of this checkout', async () => {
  expect(await longFiles(checkout)).toContain('apps/worker/test/kill.test.ts')
})
