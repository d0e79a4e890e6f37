import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createWorld, type World } from './support/world.js'

/** A bucket that keeps every object for a day. */
let world: World
beforeAll(async () => {
  world = await createWorld({ store: 'radosgw', retentionDays: 1 })
  await world.inProcess(['keys', 'init'])
})
afterAll(() => world?.[Symbol.asyncDispose]())

test('in a bucket that keeps its objects files are removed, and what is left is said with its date', async () => {
  await writeFile(path.join(world.data, 'a'), 'kept for a day')
  {
    await using _worker = await world.worker()
    expect((await world.inProcess(['enqueue', path.join(world.data, 'a'), '--id', 'a', '--wait'])).status).toBe(0)
  }
  const removed = await world.inProcess(['rm', 'a', '--reason', 'a test', '--yes', '--utc'])
  const date = String.raw`locked until \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`
  expect([removed.status, removed.stdout.toString()]).toEqual([0, expect.stringMatching(`1 object left: ${date}`)])
  const swept = await world.inProcess(['maintenance', 'run', 'sweep', '--utc'])
  expect([swept.status, swept.stdout.toString()]).toEqual([
    0,
    expect.stringMatching(/left: locked +1, the first until/),
  ])
  const found = (await world.inProcess(['doctor', '--utc'])).stdout.toString()
  expect(found).toMatch(/object lock +.*the bucket locks what it receives/)
})
