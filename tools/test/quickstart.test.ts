import { randomBytes } from 'node:crypto'
import { mkdir, readFile, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { tempDir } from '@sealfleet/testkit'
import { describe, expect, it, vi } from 'vitest'
import { compareFiles } from '../lib/quickstart/compare.mjs'
import { defaultRoots } from '../lib/places.mjs'
import { missingRoots } from '../lib/quickstart/roots.mjs'
import { makeSamples } from '../lib/quickstart/samples.mjs'
import { findPlaintext, hexDump } from '../lib/quickstart/show.mjs'

describe('sample files', () => {
  it('have the sizes that matter, and a second making leaves them alone', async () => {
    await using directory = await tempDir()
    const paths = await makeSamples(directory.path)
    const sizes = await Promise.all(paths.map(async (path) => (await stat(path)).size))
    expect(sizes).toEqual([0, 1, 3_000, 1_048_577, 17_825_792])
    const letter = paths[2] ?? ''
    expect(await readFile(letter, 'utf8')).toMatch(/^letter\.txt, line 1: anybody could read this/)
    const { mtimeMs } = await stat(letter)
    await makeSamples(directory.path)
    expect((await stat(letter)).mtimeMs).toBe(mtimeMs)
  })
})

describe('roots for the user’s own paths', () => {
  it('are added only where no root leads to them', async () => {
    await using directory = await tempDir()
    const at = (name: string): string => join(directory.path, name)
    for (const name of ['known', 'known/below', 'known-not', 'other', 'other/deep']) await mkdir(at(name))
    for (const name of ['known/a', 'known-not/b', 'other/c']) await writeFile(at(name), 'x')
    await symlink(at('known/a'), at('link'))
    const roots = { samples: at('known'), gone: at('gone') }
    expect(await missingRoots([at('known/a'), at('known/below'), at('known'), at('link')], roots)).toEqual({})
    expect(await missingRoots([at('known-not/b'), at('other'), at('other/c'), at('other/deep')], roots)).toEqual({
      'path-1': at('known-not'),
      'path-2': at('other'),
    })
    expect(await missingRoots([at('other')], { ...roots, 'path-1': at('known-not') })).toEqual({
      'path-2': at('other'),
    })
  })

  it('are refused for what does not exist and for what the setting cannot say', async () => {
    await using directory = await tempDir()
    await mkdir(join(directory.path, 'a,b'))
    await expect(missingRoots([join(directory.path, 'nothing')], {})).rejects.toThrow('there is no such file or folder')
    await expect(missingRoots([join(directory.path, 'a,b')], {})).rejects.toThrow('comma')
  })

  it('are never the home folder or /tmp for a file that lies there, unless the folder itself is given', async () => {
    await using directory = await tempDir()
    const letter = join(directory.path, 'letter')
    await writeFile(letter, 'x')
    vi.stubEnv('HOME', directory.path)
    await expect(missingRoots([letter], defaultRoots('/nowhere'))).rejects.toThrow(
      /workers could read all that is below/,
    )
    expect(await missingRoots([directory.path], {})).toEqual({ 'path-1': directory.path })
    vi.unstubAllEnvs()
    expect(await missingRoots([letter], {})).toEqual({ 'path-1': directory.path })
    expect(defaultRoots('/x')).toEqual({ samples: '/x/samples' })
  })
})

describe('the proof that stored bytes are not the plaintext', () => {
  const plaintext = Buffer.from(Array.from({ length: 40 }, (_, line) => `line ${line} of a letter\n`).join(''))

  it('finds plaintext wherever it stands, and nothing in noise', () => {
    const behind = Buffer.concat([randomBytes(100), plaintext, randomBytes(100)])
    expect(findPlaintext(plaintext, behind)).toEqual({ looked: 64, found: 64 })
    expect(findPlaintext(plaintext, randomBytes(2_000))).toEqual({ looked: 64, found: 0 })
    const half = Buffer.concat([plaintext.subarray(0, plaintext.length / 2), randomBytes(500)])
    expect(findPlaintext(plaintext, half).found).toBeGreaterThan(20)
  })

  it('has nothing to say about what is too short or says nothing itself', () => {
    expect(findPlaintext(Buffer.from('short'), plaintext)).toEqual({ looked: 0, found: 0 })
    expect(findPlaintext(Buffer.alloc(1_000), Buffer.alloc(1_000))).toEqual({ looked: 0, found: 0 })
  })
})

describe('the comparison of two files', () => {
  it.each([
    ['equal, several slices', 3_000_000, 3_000_000, undefined, { equal: true, bytes: 3_000_000 }],
    ['both empty', 0, 0, undefined, { equal: true, bytes: 0 }],
    ['one longer', 10, 11, undefined, { equal: false, bytes: 0 }],
    ['a slice longer', 1_048_576, 2_097_152, undefined, { equal: false, bytes: 1_048_576 }],
    ['a byte changed in the second slice', 2_000_000, 2_000_000, 1_500_000, { equal: false, bytes: 1_048_576 }],
  ])('%s', async (_, left, right, changed, expected) => {
    await using directory = await tempDir()
    const [a, b] = [join(directory.path, 'a'), join(directory.path, 'b')]
    const other = Buffer.alloc(right, 7)
    if (changed !== undefined) other[changed] = 8
    await writeFile(a, Buffer.alloc(left, 7))
    await writeFile(b, other)
    expect(await compareFiles(a, b)).toEqual(expected)
  })
})

it('shows bytes as hexdump does', () => {
  expect(hexDump(Buffer.from('SFV1\0\x01readable, then more than two lines of it'), 0)).toBe(
    '00000000  53 46 56 31 00 01 72 65 61 64 61 62 6c 65 2c 20  |SFV1..readable, |\n' +
      '00000010  74 68 65 6e 20 6d 6f 72 65 20 74 68 61 6e 20 74  |then more than t|',
  )
})
