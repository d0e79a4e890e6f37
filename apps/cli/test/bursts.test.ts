import { expect, it } from 'vitest'
import { bursts } from '../src/commands/enqueue/bursts.js'

it('takes a fast source in full pieces, and asks for one more at most', async () => {
  let given = 0
  async function* source() {
    for (; given < 10_000; given += 1) yield await Promise.resolve(given)
  }
  let taken = 0
  for await (const burst of bursts(source(), { most: 500, waitMs: 60_000 })) {
    expect(burst).toHaveLength(500)
    expect(burst[0]).toBe(taken)
    taken += burst.length
    expect(given - taken).toBeLessThanOrEqual(1)
  }
  expect(taken).toBe(10_000)
})

it('hands over what has come when nothing more comes, and passes a failure on behind it', async () => {
  let fail: (error: Error) => void = () => undefined
  async function* source() {
    yield 'a'
    yield 'b'
    await new Promise((_, reject) => (fail = reject))
  }
  const pieces = bursts(source(), { most: 500, waitMs: 10 })
  expect((await pieces.next()).value).toEqual(['a', 'b'])
  fail(new Error('gone'))
  await expect(pieces.next()).rejects.toThrow('gone')
})
