import { chmod, mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { asNobody, tempDir } from '@sealfleet/testkit'
import { expect, test } from 'vitest'
import { refusesReading, refusesWriting } from '@sealfleet/failures'

test.each([
  ['a folder in the middle that may not be entered', 'in/b', 0o600, 'in/b/c/file', 'in/b'],
  ['a folder that may not be listed', 'in/b/c', 0o311, 'in/b/c', 'in/b/c'],
  ['the file itself', 'in/b/c/file', 0o000, 'in/b/c/file', 'in/b/c/file'],
])('names what refuses to be read: %s', async (_what, closed, mode, asked, refuses) => {
  await using dir = await tempDir()
  const at = (relative: string): string => path.join(dir.path, relative)
  await chmod(dir.path, 0o755)
  await mkdir(at('in/b/c'), { recursive: true })
  await writeFile(at('in/b/c/file'), 'x')
  expect(await asNobody(() => refusesReading(at(asked)))).toBeUndefined()
  await chmod(at(closed), mode)
  expect(await asNobody(() => refusesReading(at(asked)))).toBe(at(refuses))
})

test('names the folder that would have to take a new name', async () => {
  await using dir = await tempDir()
  await chmod(dir.path, 0o755)
  await mkdir(path.join(dir.path, 'out'))
  expect(await asNobody(() => refusesWriting(path.join(dir.path, 'out/new/deep/file')))).toBe(
    path.join(dir.path, 'out'),
  )
})
