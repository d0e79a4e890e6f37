import { tempDir } from '@sealfleet/testkit'
import { link, mkdir, rename, symlink, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { shownBytes } from '../src/files/bytes-names.js'
import { entriesBelow } from '../src/files/entries.js'
import { expandPaths } from '../src/files/expand.js'
import { OpenFolder } from '../src/files/open-folder.js'
import { resolveRoots } from '../src/files/roots.js'

/** What lies in the folders that are enqueued: names that are no text, names that look like it, second names, swaps. */

const bytes = (...parts: (string | number)[]): Buffer =>
  Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part) : Buffer.of(part))))

async function world(refuse: readonly string[] = []) {
  const dir = await tempDir()
  const at = (...parts: string[]): string => path.join(dir.path, ...parts)
  await mkdir(at('data', 'sub'), { recursive: true })
  await mkdir(at('outside'))
  const roots = Object.assign(new Map([['data', at('data')]]), { refuseHardLinks: new Set(refuse) })
  const expand = async (...given: string[]) =>
    expandPaths(given, { cwd: at('data'), roots, resolved: await resolveRoots(roots) })
  return { at, expand, [Symbol.asyncDispose]: () => dir[Symbol.asyncDispose]() }
}

describe('names', () => {
  it.each([
    [bytes('caf', 0xe9), 'caf\\xe9'],
    [bytes(0xff, 'a', 0xc3, 0xa9, 0xc3), '\\xffaé\\xc3'],
    [bytes(0xed, 0xa0, 0x80), '\\xed\\xa0\\x80'],
    [bytes('🙂', 0xf0, 0x9f), '🙂\\xf0\\x9f'],
    [bytes('\ufffd'), '\ufffd'],
  ])('%j is shown as %s', (name, shown) => {
    expect(shownBytes(name)).toBe(shown)
  })

  it('that really have U+FFFD in them are taken; all that are not UTF-8 are listed, and refuse no other', async () => {
    await using w = await world()
    await writeFile(w.at('data', 'a\ufffd'), 'text')
    await writeFile(bytes(w.at('data'), '/a', 0xff), 'bytes')
    await writeFile(bytes(w.at('data', 'sub'), '/', 0xe9, '.pdf'), 'bytes')
    await mkdir(bytes(w.at('data'), '/d', 0xfe))
    await writeFile(bytes(w.at('data'), '/d', 0xfe, '/inner.pdf'), 'in it')
    for (const given of ['.', '**/*']) {
      const { files, unnameable } = await w.expand(given)
      expect(files.map((one) => one.path)).toEqual(['a\ufffd'])
      const shown = unnameable.map((one) => one.shown).sort()
      expect(shown, given).toEqual(['a\\xff', 'd\\xfe', 'sub/\\xe9.pdf'])
    }
    expect((await w.expand('a\ufffd')).files).toHaveLength(1)
    // Only what the pattern would have taken, or led into.
    expect((await w.expand('a*')).unnameable.map((one) => one.shown)).toEqual(['a\\xff'])
    await expect(w.expand('b\ufffd')).rejects.toMatchObject({ code: 'SOURCE_MISSING' })
  })

  it('of folders that a link leads into are looked at, too', async () => {
    await using w = await world()
    await mkdir(bytes(w.at('data'), '/d', 0xfe))
    await symlink(bytes(w.at('data'), '/d', 0xfe), w.at('data', 'link'))
    await writeFile(w.at('data', 'link', 'a'), '')
    await expect(w.expand('link/a')).rejects.toMatchObject({ code: 'SOURCE_NAME' })
  })
})

describe('a file with a second name', () => {
  it('is taken, unless its root refuses hard links: then skipped in a folder, refused when it is named', async () => {
    for (const refuse of [[], ['data']]) {
      await using w = await world(refuse)
      await writeFile(w.at('outside', 'theirs'), 'secret')
      await link(w.at('outside', 'theirs'), w.at('data', 'mine'))
      await writeFile(w.at('data', 'own'), '')
      const { files, skipped } = await w.expand('.')
      expect([files.length, skipped.length]).toEqual(refuse.length === 0 ? [2, 0] : [1, 1])
      const named = w.expand('mine').then(
        () => 'taken',
        (error: { code: string }) => error.code,
      )
      expect(await named).toBe(refuse.length === 0 ? 'taken' : 'SOURCE_HARD_LINKED')
    }
  })
})

it('a folder that is swapped for a link while it is walked shows nothing of where the link leads', async () => {
  await using w = await world()
  for (const [folder, name] of [
    ['data', 'a'],
    ['data/sub', 'b'],
    ['outside', 'secret'],
  ] as const)
    await writeFile(w.at(folder, name), '')
  await using folder = await OpenFolder.open(w.at('data'))
  const seen: string[] = []
  for await (const entry of entriesBelow(folder)) {
    seen.push(`${entry.name}: ${entry.reason ?? 'file'}`)
    if (entry.name !== 'a') continue
    await rename(w.at('data', 'sub'), w.at('data', 'kept'))
    await symlink(w.at('outside'), w.at('data', 'sub'))
  }
  expect(seen).toEqual(['a: file', 'sub: symbolic link'])
})
