import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'

import { tempDir } from '@sealfleet/testkit'
import { expect, test } from 'vitest'

import { checkImports } from '../lib/imports.mjs'
import { checkout } from '../lib/places.mjs'

/** What the check says of a checkout with these files. */
async function check(files: Record<string, string>): Promise<readonly string[]> {
  await using root = await tempDir()
  for (const [file, text] of Object.entries({ 'apps/cli/src/main.ts': '', ...files })) {
    await mkdir(dirname(join(root.path, file)), { recursive: true })
    await writeFile(join(root.path, file), text)
  }
  return await checkImports(root.path)
}

test('this checkout has no import to a higher floor, no path into another workspace and no circle', async () => {
  expect(await checkImports(checkout)).toEqual([])
})

test('an import to the same or a higher floor is found', async () => {
  const found = await check({
    'packages/records/src/a.ts': "import { openDestruction } from '@sealfleet/keys'\n",
    'packages/hsm/src/b.ts': "export type { Records } from '@sealfleet/records/files'\n",
    'packages/keys/src/c.ts': "import type { Records } from '@sealfleet/records'\n",
  })
  expect(found).toEqual([
    "packages/hsm/src/b.ts imports '@sealfleet/records/files', which is not on a lower floor",
    "packages/records/src/a.ts imports '@sealfleet/keys', which is not on a lower floor",
  ])
})

test('a path into another workspace, and an app that is imported, are found', async () => {
  const found = await check({
    'packages/records/src/a.ts': "import { x } from '../../hsm/src/x.js'\n",
    'apps/cli/src/b.ts': "const { y } = await import('@sealfleet/worker')\n",
  })
  expect(found).toEqual([
    "apps/cli/src/b.ts imports '@sealfleet/worker', which is on no floor (tools/lib/imports.mjs)",
    "packages/records/src/a.ts reaches into another workspace: '../../hsm/src/x.js'",
  ])
})

test('a circle of three files is found, types counted', async () => {
  const found = await check({
    'packages/hsm/src/a.ts': "import { b } from './b.js'\n",
    'packages/hsm/src/b.ts': "import type { C } from './deep/c.js'\n",
    'packages/hsm/src/deep/c.ts': "export { a } from '../a.js'\n",
    'packages/hsm/src/d.ts': "import { a } from './a.js'\n",
  })
  expect(found).toEqual([
    'a circle of imports: packages/hsm/src/a.ts → packages/hsm/src/b.ts → packages/hsm/src/deep/c.ts',
  ])
})
