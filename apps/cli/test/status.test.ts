import { finishTask, heartbeat, openRecords, startTask } from '@sealfleet/records'
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

test('status shows when maintenance did what, and what waits in the outbox', async () => {
  await using records = await openRecords(world.databaseUrl)
  const task = { name: 'sweep', owner: 'keeper-1' }
  await startTask(records, { ...task, everySeconds: 60, leaseSeconds: 60 })
  expect((await world.inProcess(['status'])).stdout.toString()).toMatch(/sweep +never +done by keeper-1/)
  await finishTask(records, { ...task, outcome: 'found', report: { found: 3 } })
  const { maintenance, outbox } = (await world.inProcess(['status', '--json'])).json<{
    maintenance: unknown
    outbox: unknown
  }>()
  expect(maintenance).toMatchObject([{ name: 'sweep', outcome: 'found', owner: null, report: { found: 3 } }])
  expect(outbox).toEqual({ waiting: 0, oldestSeconds: 0 })
  expect((await world.inProcess(['status'])).stdout.toString()).toMatch(/sweep +\d{4}-\S+Z +found/)
})
