import { heartbeat, openRecords } from '@sealfleet/records'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createWorld, type World } from './support/world.js'

let world: World

beforeAll(async () => {
  world = await createWorld()
})
afterAll(() => world?.[Symbol.asyncDispose]())

test('status shows the workers: how each is, what it waits for, and which have fallen silent', async () => {
  const none = await world.inProcess(['status'])
  expect(none.stdout.toString()).not.toContain('WORKER')
  {
    await using records = await openRecords(world.databaseUrl)
    const worker = { host: 'one', pid: 1, version: '0.1.0', concurrency: 8, ttlSeconds: 45 }
    await heartbeat(records, { ...worker, id: 'well', state: 'READY', detail: { active: 2, breakers: {} } })
    const breakers = { s3: 'S3_UNAVAILABLE', roots: 'ROOT_UNAVAILABLE' }
    await heartbeat(records, { ...worker, id: 'waits', state: 'READY', detail: { breakers } })
    await heartbeat(records, { ...worker, id: 'silent', state: 'READY', detail: 'odd', ttlSeconds: 0.001 })
    await heartbeat(records, { ...worker, id: 'ended', state: 'STOPPED' })
  }
  const shown = (await world.inProcess(['status'])).stdout.toString()
  const rows = shown.split('\n').map((line) => line.split(/ {2,}/))
  expect(rows.find(([name]) => name === 'WORKER')).toEqual(['WORKER', 'HOST', 'STATE', 'LAST SEEN', 'OUT'])
  const time = expect.stringMatching(/^\d{4}-.*Z$/) as string
  expect(rows.filter((row) => row[1] === 'one').sort()).toEqual([
    ['silent', 'one', 'dead', time],
    ['waits', 'one', 'READY', time, 's3: S3_UNAVAILABLE, roots: ROOT_UNAVAILABLE'],
    ['well', 'one', 'READY', time],
  ])
  const { workers } = (await world.inProcess(['status', '--json'])).json<{
    workers: { id: string; alive: boolean }[]
  }>()
  expect(workers.map(({ id, alive }) => `${id} ${alive}`).sort()).toEqual(['silent false', 'waits true', 'well true'])
})
