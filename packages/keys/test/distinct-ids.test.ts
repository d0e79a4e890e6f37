import { createHash } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { tempDir } from '@sealfleet/testkit'
import { describe, expect, it, vi } from 'vitest'
import { DistinctIds } from '../src/destroy/distinct-ids.js'

/** The n-th of many UUIDs in no order. */
function idOf(n: number): string {
  const hex = createHash('sha256').update(String(n)).digest('hex')
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20, 32)].join('-')
}

async function counted(ids: Iterable<string>, page?: number): Promise<number> {
  await using distinct = new DistinctIds(page)
  for (const id of ids) await distinct.add(id)
  return await distinct.count()
}

describe('different ids', () => {
  it.each([0, 1, 2, 7, 8, 9, 16, 17, 1_000, 3_001])('of %i, in pages of eight, are counted as in one', async (n) => {
    const ids = Array.from({ length: n }, (_, i) => idOf(i))
    expect(await counted(ids, 8)).toBe(n)
    expect(await counted(ids)).toBe(n)
  })

  it('are counted once, in whichever pages they come again, and however they are written', async () => {
    const ids = Array.from({ length: 500 }, (_, i) => idOf(i))
    const again = [...ids, ...ids.toReversed(), ...ids.map((id) => id.toUpperCase())]
    for (const page of [1, 2, 100, 499, 500, 501, 10_000]) expect(await counted(again, page), `${page}`).toBe(500)
  })

  it('leave no file behind, not even one that has a name while they are counted', async () => {
    await using dir = await tempDir()
    vi.stubEnv('TMPDIR', dir.path)
    await using distinct = new DistinctIds(4)
    for (let i = 0; i < 100; i++) await distinct.add(idOf(i))
    expect(await readdir(dir.path)).toEqual([])
    vi.unstubAllEnvs()
    expect(await distinct.count()).toBe(100)
  })
})
