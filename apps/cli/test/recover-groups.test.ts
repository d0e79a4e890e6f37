import type { StoredHeader } from '@sealfleet/objects'
import { randomUUID } from 'node:crypto'
import { expect, it } from 'vitest'
import { groupByFile } from '../src/commands/recover/groups.js'
import { forEachConcurrent } from '@sealfleet/runtime'

const header = (key: string): StoredHeader => ({ entry: { key, latest: true, deleteMarker: false }, code: 'E_FORMAT' })

async function* listing(keys: readonly string[]): AsyncGenerator<StoredHeader> {
  for (const key of keys) yield await Promise.resolve(header(key))
}

it('puts attempts and versions of one file together, and leaves everything else alone', async () => {
  const [a, b] = [randomUUID(), randomUUID()]
  const [one, two, three] = [
    `default/${a}/${randomUUID()}`,
    `default/${a}/${randomUUID()}`,
    `default/${b}/${randomUUID()}`,
  ]
  const groups: string[][] = []
  for await (const { found } of groupByFile(listing(['x', 'notes/1', 'notes/2', one, one, two, three, `p/${one}`])))
    groups.push(found.map(({ entry }) => entry.key))
  expect(groups).toEqual([['x'], ['notes/1'], ['notes/2'], [one, one, two], [three], [`p/${one}`]])
})

it('works on N items at a time; after an error it starts nothing and closes what it reads from', async () => {
  let closed = false
  let begun = 0
  let most = 0
  let running = 0
  async function* numbers(): AsyncGenerator<number> {
    try {
      for (let n = 0; n < 100; n++) yield await Promise.resolve(n)
    } finally {
      closed = true
    }
  }
  const failing = forEachConcurrent(numbers(), 3, async (n) => {
    begun += 1
    running += 1
    most = Math.max(most, running)
    await new Promise((resolve) => setImmediate(resolve))
    running -= 1
    if (n === 10) throw new Error('ten')
  })
  await expect(failing).rejects.toThrow('ten')
  expect({ closed, running, most }).toEqual({ closed: true, running: 0, most: 3 })
  expect(begun).toBeLessThan(15)
})
