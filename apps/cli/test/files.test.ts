import { tempDir } from '@sealfleet/testkit'
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { lstat, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { EXIT } from '../src/exit-status.js'
import { expandPaths } from '../src/files/expand.js'
import { OutputFile, removeUnfinished } from '../src/files/output-file.js'
import { resolveRoots } from '../src/files/roots.js'
import { isPlainRelative, openOutputFolder, placeBelow } from '../src/files/safe-path.js'

describe('an output file', () => {
  it('appears under its name only when it is committed, readable by its owner alone', async () => {
    await using dir = await tempDir()
    const final = path.join(dir.path, 'out')
    await using file = await OutputFile.create(final, { force: false })
    await file.write(Buffer.from('whole'))
    expect(existsSync(final)).toBe(false)
    await file.commit()
    expect(await readFile(final, 'utf8')).toBe('whole')
    expect((await lstat(final)).mode & 0o777).toBe(0o600)
    expect(await readdir(dir.path)).toEqual(['out'])
  })

  it('leaves nothing when it is given up', async () => {
    await using dir = await tempDir()
    {
      await using file = await OutputFile.create(path.join(dir.path, 'out'), { force: false })
      await file.write(Buffer.from('half'))
    }
    expect(await readdir(dir.path)).toEqual([])
  })

  it('leaves nothing when the process is told to die at once', async () => {
    await using dir = await tempDir()
    const file = await OutputFile.create(path.join(dir.path, 'out'), { force: false })
    removeUnfinished()
    expect(await readdir(dir.path)).toEqual([])
    await file[Symbol.asyncDispose]()
  })

  it('refuses a name that exists, and one that is taken meanwhile', async () => {
    await using dir = await tempDir()
    const final = path.join(dir.path, 'out')
    await using late = await OutputFile.create(final, { force: false })
    await writeFile(final, 'mine')
    await expect(OutputFile.create(final, { force: false })).rejects.toMatchObject({ code: 'OUTPUT_EXISTS' })
    await expect(late.commit()).rejects.toMatchObject({ code: 'OUTPUT_EXISTS', exitStatus: EXIT.failed })
    expect(await readFile(final, 'utf8')).toBe('mine')
  })

  it('replaces a file with force, a link itself and never its target, and no device or folder', async () => {
    await using dir = await tempDir()
    const target = path.join(dir.path, 'target')
    const final = path.join(dir.path, 'out')
    await writeFile(target, 'untouched')
    await symlink(target, final)
    await using file = await OutputFile.create(final, { force: true })
    await file.write(Buffer.from('new'))
    await file.commit()
    expect(await readFile(target, 'utf8')).toBe('untouched')
    expect((await lstat(final)).isFile()).toBe(true)
    for (const other of ['/dev/null', dir.path]) {
      await expect(OutputFile.create(other, { force: true })).rejects.toMatchObject({ code: 'OUTPUT_EXISTS' })
    }
  })

  it('names what could not be written, and the reason', async () => {
    await using dir = await tempDir()
    const final = path.join(dir.path, 'x'.repeat(300))
    const refused = {
      code: 'OUTPUT_IO',
      exitStatus: EXIT.failed,
      message: `${final} could not be written (ENAMETOOLONG)`,
    }
    await expect(OutputFile.create(final, { force: false })).rejects.toMatchObject(refused)
  })

  it('says so when its folder is missing', async () => {
    await using dir = await tempDir()
    const final = path.join(dir.path, 'no', 'out')
    await expect(OutputFile.create(final, { force: false })).rejects.toMatchObject({ code: 'OUTPUT_FOLDER' })
  })
})

describe('paths of restored files', () => {
  it.each(['a', 'a/b', '..a', 'a..', '...', ' ', 'a\\b'])('%j stays below', (relative) => {
    expect(isPlainRelative(relative)).toBe(true)
  })
  it.each(['', '/', '/a', 'a/', 'a//b', '.', '..', '../a', 'a/../b', 'a/./b', 'a\0b'])(
    '%j is refused',
    async (relative) => {
      expect(isPlainRelative(relative)).toBe(false)
      await using folder = await openOutputFolder('/')
      await expect(placeBelow(folder, relative)).rejects.toMatchObject({ code: 'OUTPUT_UNSAFE' })
    },
  )

  it('are never written through a symbolic link', async () => {
    await using dir = await tempDir()
    await mkdir(path.join(dir.path, 'out'))
    await symlink('/', path.join(dir.path, 'out', 'link'))
    await writeFile(path.join(dir.path, 'out', 'file'), '')
    await using folder = await openOutputFolder(path.join(dir.path, 'out'))
    await expect(placeBelow(folder, 'link/x')).rejects.toMatchObject({ code: 'OUTPUT_UNSAFE' })
    await expect(placeBelow(folder, 'file/x')).rejects.toMatchObject({ code: 'OUTPUT_UNSAFE' })
    await using place = await placeBelow(folder, 'new/deep/x')
    expect(place.folder.path).toBe(path.join(dir.path, 'out', 'new/deep'))
    expect((await lstat(path.join(dir.path, 'out', 'new/deep'))).isDirectory()).toBe(true)
  })
})

describe('paths to enqueue', () => {
  async function world() {
    const dir = await tempDir()
    const at = (...parts: string[]): string => path.join(dir.path, ...parts)
    await mkdir(at('data', 'inner', 'deep [1]'), { recursive: true })
    await mkdir(at('outside'))
    await writeFile(at('data', 'a.txt'), 'a')
    await writeFile(at('data', '.hidden'), '')
    await writeFile(at('data', 'inner', 'b.txt'), 'bb')
    await writeFile(at('data', 'inner', 'deep [1]', 'c.txt'), 'ccc')
    await writeFile(at('outside', 'o.txt'), 'o')
    await symlink(at('outside', 'o.txt'), at('data', 'out-link'))
    await symlink('a.txt', at('data', 'in-link'))
    await symlink(at('outside'), at('data', 'folder-link'))
    await symlink('nothing', at('data', 'dangling'))
    execFileSync('mkfifo', [at('data', 'fifo')])
    const roots = new Map([
      ['data', at('data')],
      ['inner', at('data', 'inner')],
      ['gone', at('gone')],
    ])
    const expand = async (given: string[], only?: string) =>
      expandPaths(given, { cwd: at('data'), roots, resolved: await resolveRoots(roots, only), only })
    return { at, expand, [Symbol.asyncDispose]: () => dir[Symbol.asyncDispose]() }
  }
  const names = (files: readonly { root: string; path: string }[]): string[] => files.map((f) => `${f.root}:${f.path}`)

  it('are mapped to the root with the longest prefix, each file once', async () => {
    await using w = await world()
    const { files } = await w.expand(['a.txt', './a.txt', 'inner/b.txt', w.at('data', 'a.txt')])
    expect(names(files)).toEqual(['data:a.txt', 'inner:b.txt'])
    expect(names((await w.expand(['inner/b.txt'], 'data')).files)).toEqual(['data:inner/b.txt'])
  })

  it('take all regular files of a folder, and report what is none', async () => {
    await using w = await world()
    const { files, skipped } = await w.expand(['.'])
    expect(names(files)).toEqual(['data:.hidden', 'data:a.txt', 'inner:b.txt', 'inner:deep [1]/c.txt'])
    expect(skipped.map(({ shown, reason }) => `${shown}: ${reason}`)).toEqual([
      'dangling: symbolic link',
      'fifo: not a regular file',
      'folder-link: symbolic link',
      'in-link: symbolic link',
      'out-link: symbolic link',
    ])
  })

  it('take patterns, and a path with pattern characters for itself', async () => {
    await using w = await world()
    expect(names((await w.expand(['**/*.txt'])).files).sort()).toEqual([
      'data:a.txt',
      'inner:b.txt',
      'inner:deep [1]/c.txt',
    ])
    expect(names((await w.expand(['inner/deep [1]'])).files)).toEqual(['inner:deep [1]/c.txt'])
    await expect(w.expand(['*.pdf'])).rejects.toMatchObject({ code: 'SOURCE_MISSING', exitStatus: EXIT.missing })
  })

  it('follow a link that is named itself, as long as it stays below its root', async () => {
    await using w = await world()
    expect(names((await w.expand(['in-link'])).files)).toEqual(['data:a.txt'])
    await expect(w.expand(['out-link'])).rejects.toMatchObject({ code: 'SOURCE_OUTSIDE_ROOT', exitStatus: EXIT.failed })
    await expect(w.expand(['folder-link/o.txt'])).rejects.toMatchObject({ code: 'SOURCE_OUTSIDE_ROOT' })
    await expect(w.expand(['dangling'])).rejects.toMatchObject({ code: 'SOURCE_MISSING' })
  })

  it.each([
    ['nope', 'SOURCE_MISSING', EXIT.missing],
    ['a.txt/x', 'SOURCE_MISSING', EXIT.missing],
    ['fifo', 'SOURCE_NOT_REGULAR', EXIT.failed],
    ['../outside/o.txt', 'SOURCE_OUTSIDE_ROOT', EXIT.failed],
    ['../outside', 'SOURCE_OUTSIDE_ROOT', EXIT.failed],
    ['', 'USAGE', EXIT.usage],
    ['a\0b', 'USAGE', EXIT.usage],
  ])('are refused when bad: %j is %s', async (given, code, exitStatus) => {
    await using w = await world()
    await expect(w.expand([given])).rejects.toMatchObject({ code, exitStatus })
  })

  it('come with advice on how to add a root', async () => {
    await using w = await world()
    const advice = { fix: expect.stringContaining(`,outside=${w.at('outside')}'`) as string }
    await expect(w.expand(['../outside/o.txt'])).rejects.toMatchObject(advice)
    await expect(w.expand(['a.txt'], 'nope')).rejects.toMatchObject({ code: 'USAGE' })
    await expect(w.expand(['a.txt'], 'inner')).rejects.toMatchObject({ code: 'SOURCE_OUTSIDE_ROOT' })
  })
})
