import { asNobody, tempDir } from '@sealfleet/testkit'
import { effectiveUser } from '@sealfleet/failures'
import { chmod, mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { expect, it } from 'vitest'
import { describeError } from '../src/describe-error.js'
import { expandPaths } from '../src/files/expand.js'
import { readContext } from '../src/files/context.js'
import { OutputFile } from '../src/files/output-file.js'
import { resolveRoots } from '../src/files/roots.js'
import { openOutputFolder, placeBelow } from '../src/files/safe-path.js'

/** A root `in` with `in/a/b/c/file`, open to others. */
async function tree() {
  const dir = await tempDir()
  await chmod(dir.path, 0o755)
  await mkdir(path.join(dir.path, 'in/a/b/c'), { recursive: true })
  await writeFile(path.join(dir.path, 'in/a/b/c/file'), 'x')
  return dir
}

/** What the command says, and who it says has no right. */
async function refused(task: () => Promise<unknown>): Promise<{ code: string; message: string; user: string }> {
  return asNobody(async () => {
    const user = effectiveUser()
    try {
      await task()
    } catch (error) {
      const { code, message } = describeError(error)
      return { code, message, user }
    }
    throw new Error('nothing was refused')
  })
}

it.each([
  ['a folder below that may not be listed', 'in/a/b', 0o311, 'in', 'in/a/b'],
  ['a folder below that may not be entered', 'in/a/b', 0o644, 'in', 'in/a/b'],
  ['a folder on the way to what is named', 'in/a', 0o600, 'in/a/b/c/file', 'in/a'],
  ['a folder that is named', 'in/a/b/c', 0o000, 'in/a/b/c', 'in/a/b/c'],
  ['a folder that a pattern leads into', 'in/a/b', 0o311, 'in/**/file', 'in/a/b'],
])('enqueue names the very folder and the user: %s', async (_what, closed, mode, given, refuses) => {
  await using dir = await tree()
  const roots = new Map([['in', path.join(dir.path, 'in')]])
  const o = { cwd: dir.path, roots, resolved: await resolveRoots(roots) }
  await chmod(path.join(dir.path, closed), mode)
  const { user, ...said } = await refused(() => expandPaths([given], o))
  expect(said).toEqual({ code: 'SOURCE_IO', message: `${refuses} may not be read by ${user} (EACCES)` })
})

it('restore names the folder that may not be written, and the user', async () => {
  await using dir = await tree()
  const out = path.join(dir.path, 'in')
  await chmod(path.join(out, 'a'), 0o555)
  const below = await refused(async () => {
    await using folder = await openOutputFolder(out)
    await using place = await placeBelow(folder, 'a/new/deep/file')
    void place
  })
  const file = await refused(() => OutputFile.create(path.join(out, 'a', 'file'), { force: false }))
  const made = await refused(() => openOutputFolder(path.join(out, 'a', 'x', 'y')))
  for (const { code, message, user } of [below, file, made]) {
    expect(code).toBe('OUTPUT_IO')
    expect(message).toContain(`: ${path.join(out, 'a')} may not be written by ${user} (EACCES)`)
  }
})

it('a file for --context-file that may not be read is named with the user', async () => {
  await using dir = await tree()
  await chmod(path.join(dir.path, 'in/a/b/c/file'), 0o000)
  const { user, ...said } = await refused(() => readContext({ contextFile: 'in/a/b/c/file' }, dir.path))
  const file = path.join(dir.path, 'in/a/b/c/file')
  expect(said).toMatchObject({ code: 'INPUT', message: `${file} may not be read by ${user} (EACCES)` })
})
