import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  appendFileSync,
  chmodSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'

import { effectiveUser } from '@sealfleet/failures'
import type { PlaintextReader } from '@sealfleet/format'
import { asNobody } from '@sealfleet/testkit'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'

import { assertUnchanged, openSource } from '../src/source/open-source.js'
import { READ_SIZE, readSource } from '../src/source/read-source.js'

let base: string
let roots: Map<string, string>

beforeEach(() => {
  base = mkdtempSync(path.join(tmpdir(), 'sealfleet-source-'))
  mkdirSync(path.join(base, 'in', 'sub'), { recursive: true })
  writeFileSync(path.join(base, 'in', 'a.bin'), 'hello')
  writeFileSync(path.join(base, 'secret'), 'outside')
  roots = new Map([['docs', path.join(base, 'in')]])
})

afterEach(() => {
  rmSync(base, { recursive: true, force: true })
})

async function read(relative: string): Promise<Buffer> {
  await using source = await openSource(roots, { root: 'docs', path: relative })
  const bytes = await readToTheEnd(readSource(source))
  await assertUnchanged(source)
  return bytes
}

async function readToTheEnd(reader: PlaintextReader): Promise<Buffer> {
  const chunks: Buffer[] = []
  const target = Buffer.alloc(READ_SIZE)
  for (let taken = await reader.read(target); taken > 0; taken = await reader.read(target)) {
    chunks.push(Buffer.from(target.subarray(0, taken)))
  }
  return Buffer.concat(chunks)
}

describe('openSource', () => {
  test('reads a regular file below its root', async () => {
    expect((await read('a.bin')).toString()).toBe('hello')
  })

  test('follows a link in the middle of the path that stays below the root', async () => {
    symlinkSync('sub', path.join(base, 'in', 'alias'))
    writeFileSync(path.join(base, 'in', 'sub', 'b'), 'b')
    expect((await read('alias/b')).toString()).toBe('b')
  })

  test('a root that is itself reached through a link is fine', async () => {
    symlinkSync('in', path.join(base, 'link-root'))
    roots.set('docs', path.join(base, 'link-root'))
    expect((await read('a.bin')).toString()).toBe('hello')
  })

  test.each([
    ['missing', 'SOURCE_MISSING'],
    ['a.bin/child', 'SOURCE_MISSING'],
    ['sub', 'SOURCE_NOT_REGULAR'],
    ['fifo', 'SOURCE_NOT_REGULAR'],
    ['link-out', 'SOURCE_NOT_REGULAR'],
    ['dir-out/secret', 'SOURCE_OUTSIDE_ROOT'],
    ['../secret', 'SOURCE_OUTSIDE_ROOT'],
    ['sub/../../secret', 'SOURCE_OUTSIDE_ROOT'],
    ['/etc/hostname', 'SOURCE_OUTSIDE_ROOT'],
    ['', 'SOURCE_OUTSIDE_ROOT'],
    ['a\0.bin', 'SOURCE_OUTSIDE_ROOT'],
    ['x'.repeat(300), 'SOURCE_MISSING'],
  ])('%j is refused with %s', async (relative, code) => {
    execFileSync('mkfifo', [path.join(base, 'in', 'fifo')])
    symlinkSync(path.join(base, 'secret'), path.join(base, 'in', 'link-out'))
    symlinkSync(base, path.join(base, 'in', 'dir-out'))
    await expect(openSource(roots, { root: 'docs', path: relative })).rejects.toMatchObject({ code })
  })

  test('a file with a second name is read, unless its root refuses hard links', async () => {
    linkSync(path.join(base, 'secret'), path.join(base, 'in', 'linked'))
    expect((await read('linked')).toString()).toBe('outside')
    const strict = Object.assign(new Map(roots), { refuseHardLinks: new Set(['docs']) })
    const open = (name: string) => openSource(strict, { root: 'docs', path: name })
    await expect(open('linked')).rejects.toMatchObject({ code: 'SOURCE_HARD_LINKED' })
    await (await open('a.bin'))[Symbol.asyncDispose]()
  })

  test('a FIFO is looked at and never opened: who waits to write into it still waits', async () => {
    const fifo = path.join(base, 'in', 'fifo')
    execFileSync('mkfifo', [fifo])
    const writer = spawn('sh', ['-c', 'echo ready; echo words > fifo'], { cwd: path.join(base, 'in') })
    await once(writer.stdout, 'data')
    while (!/\) S /.test(readFileSync(`/proc/${writer.pid}/stat`, 'latin1'))) await new Promise(setImmediate)
    await expect(read('fifo')).rejects.toMatchObject({ code: 'SOURCE_NOT_REGULAR' })
    // Had it been opened and closed, the words would have gone nowhere.
    expect(execFileSync('cat', [fifo], { timeout: 5_000 }).toString()).toBe('words\n')
  })

  test('a root that is not configured is refused by name', async () => {
    await expect(openSource(roots, { root: 'other', path: 'a.bin' })).rejects.toMatchObject({
      code: 'ROOT_UNKNOWN',
      message: expect.stringContaining('SEALFLEET_ROOTS') as string,
    })
  })
})

test('a root whose folder is away is ROOT_UNAVAILABLE: its files are not missing, and nothing is dead', async () => {
  rmSync(path.join(base, 'in'), { recursive: true })
  await expect(openSource(roots, { root: 'docs', path: 'a.bin' })).rejects.toMatchObject({ code: 'ROOT_UNAVAILABLE' })
})

describe('missing rights are told with the very folder and the user', () => {
  beforeEach(() => {
    chmodSync(base, 0o755)
    mkdirSync(path.join(base, 'in', 'x', 'y'), { recursive: true })
    writeFileSync(path.join(base, 'in', 'x', 'y', 'f'), 'f')
  })

  test.each([
    ['in/x', 0o600, 'SOURCE_IO', 'source docs:x/y/f: docs:x may not be read by USER (EACCES)'],
    ['in/x/y/f', 0o000, 'SOURCE_IO', 'source docs:x/y/f: docs:x/y/f may not be read by USER (EACCES)'],
    ['in', 0o600, 'SOURCE_IO', 'source docs:x/y/f: the folder of root "docs" may not be read by USER (EACCES)'],
  ])('%s', async (closed, mode, code, message) => {
    chmodSync(path.join(base, closed), mode)
    await asNobody(async () => {
      const said = message.replace('USER', effectiveUser())
      await expect(openSource(roots, { root: 'docs', path: 'x/y/f' })).rejects.toMatchObject({ code, message: said })
    })
  })

  test('a folder above the root: by its name alone', async () => {
    chmodSync(base, 0o600)
    await asNobody(async () => {
      await expect(openSource(roots, { root: 'docs', path: 'x/y/f' })).rejects.toMatchObject({
        code: 'ROOT_UNAVAILABLE',
        message: `the folder of root "docs" is out of reach: the folder "${path.basename(base)}" above it may not be read by ${effectiveUser()} on this worker`,
      })
    })
  })
})

describe('a source that changes while it is read', () => {
  const big = 3 * READ_SIZE

  test.each<[string, (file: string) => void]>([
    ['grows', (file) => appendFileSync(file, 'more')],
    ['shrinks', (file) => truncateSync(file, READ_SIZE + 1)],
  ])('%s: SOURCE_CHANGED while reading', async (_how, change) => {
    const file = path.join(base, 'in', 'big')
    writeFileSync(file, Buffer.alloc(big, 1))
    await using source = await openSource(roots, { root: 'docs', path: 'big' })
    const reader = readSource(source)
    expect(await reader.read(Buffer.alloc(big))).toBe(READ_SIZE)
    change(file)
    await expect(readToTheEnd(reader)).rejects.toMatchObject({ code: 'SOURCE_CHANGED' })
  })

  test('is rewritten in place with its old times: found by ctime', async () => {
    const file = path.join(base, 'in', 'a.bin')
    await using source = await openSource(roots, { root: 'docs', path: 'a.bin' })
    const { mtime } = await source.handle.stat()
    writeFileSync(file, 'HELLO')
    utimesSync(file, mtime, mtime)
    await expect(assertUnchanged(source)).rejects.toMatchObject({ code: 'SOURCE_CHANGED' })
  })

  test('is read where the caller wants it, and nowhere else', async () => {
    await using source = await openSource(roots, { root: 'docs', path: 'a.bin' })
    const target = Buffer.alloc(8)
    const reader = readSource(source)
    expect(await reader.read(target.subarray(1, 4))).toBe(3)
    expect(await reader.read(target.subarray(4))).toBe(2)
    expect(target.toString()).toBe('\0hello\0\0')
    expect(await reader.read(target)).toBe(0)
  })
})
