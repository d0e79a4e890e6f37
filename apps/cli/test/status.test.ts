import { finishTask, heartbeat, startTask } from '@sealfleet/records/upkeep'
import { openRecords } from '@sealfleet/records'
import { Redis } from 'ioredis'
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
    const probes = { s3: '2026-11-30T10:00:00.000Z' }
    const since = { s3: '2026-11-30T09:00:00.000Z' }
    const waits = { breakers, since, probes, queues: ['ingest', 'rekey'] }
    await heartbeat(records, { ...worker, id: 'waits', state: 'READY', detail: waits })
    const down = { database: 'DB_UNAVAILABLE' }
    const outSince = { database: '2026-11-30T09:30:00.000Z', hsm: '2026-11-30T08:00:00.000Z' }
    const maintenance = { program: 'maintenance', breakers: down, since: outSince, hsm: 'unavailable' }
    await heartbeat(records, { ...worker, host: 'two', id: 'keeper', state: 'READY', detail: maintenance })
    await heartbeat(records, { ...worker, id: 'silent', state: 'READY', detail: 'odd', ttlSeconds: 0.001 })
    await heartbeat(records, { ...worker, id: 'ended', state: 'STOPPED' })
  }
  const shown = (await world.inProcess(['status'])).stdout.toString()
  const rows = shown.split('\n').map((line) => line.split(/ {2,}/))
  expect(rows.find(([name]) => name === 'WORKER')).toEqual(['WORKER', 'HOST', 'STATE', 'LAST SEEN', 'OUT'])
  const time = expect.stringMatching(/^\d{4}-.*Z$/) as string
  expect(rows.filter((row) => row[1] === 'one').sort()).toEqual([
    ['silent', 'one', 'dead', time],
    [
      ...['waits', 'one', 'WAITING', time],
      's3: S3_UNAVAILABLE since 2026-11-30T09:00:00Z, next probe 2026-11-30T10:00:00Z; roots: ROOT_UNAVAILABLE',
    ],
    ['well', 'one', 'READY', time],
  ])
  // It has a row of its own and takes no jobs.
  expect(rows.find(([name]) => name === 'keeper')).toEqual([
    ...['keeper', 'two', 'WAITING (maintenance)', time],
    'database: DB_UNAVAILABLE since 2026-11-30T09:30:00Z; hsm: unavailable since 2026-11-30T08:00:00Z',
  ])
  const { workers } = (await world.inProcess(['status', '--json'])).json<{
    workers: { id: string; alive: boolean }[]
  }>()
  expect(workers.map(({ id, alive }) => `${id} ${alive}`).sort()).toEqual([
    'keeper true',
    'silent false',
    'waits true',
    'well true',
  ])
})

test('queue status counts the workers that are alive by their own records, and says when it cannot', async () => {
  const counts = async (env?: Readonly<Record<string, string>>) => {
    const shown = (await world.inProcess(['queue', 'status', '--json'], env === undefined ? {} : { env })).json<{
      queues: { queue: string; workers: number | null }[]
    }>()
    return shown.queues.map(({ queue, workers }) => `${queue} ${workers}`)
  }
  // Neither the process of maintenance, nor the silent one, nor the one that has ended; none of them has a connection to Redis.
  const live = ['ingest 2', 'restore 0', 'verify 0', 'rekey 1', 'maintenance 0']
  expect(await counts()).toEqual(live)
  const away = { SEALFLEET_DATABASE_URL: 'postgres://u:p@127.0.0.1:1/none' }
  expect(await counts(away)).toEqual(live.map((row) => row.replace(/\d/, 'null')))
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

test('queue probe asks those that wait, says when they would have probed, and leaves a row; a dry run asks no one', async () => {
  const key = `${world.env['SEALFLEET_QUEUE_PREFIX'] ?? ''}:probe-now`
  const redis = new Redis(world.env['SEALFLEET_REDIS_URL'] ?? '')
  try {
    const dry = await world.inProcess(['queue', 'probe', '--dry-run', '--json'])
    expect(dry.json()).toMatchObject({ workers: 2, dryRun: true })
    expect(await redis.get(key)).toBeNull()
    const ran = await world.inProcess(['queue', 'probe', '--reason', 'the bucket is back'])
    expect([ran.status, ran.stdout.toString()]).toEqual([0, expect.stringMatching(/^asked to probe now: 1 worker\n/)])
    expect(ran.stdout.toString()).toMatch(/waits +s3 +S3_UNAVAILABLE +2026-11-30T09:00:00Z +2026-11-30T10:00:00Z/)
    expect(await redis.get(key)).toMatch(/^[0-9a-f-]{36}$/)
  } finally {
    redis.disconnect()
  }
  const log = (await world.inProcess(['audit', 'log', '--action', 'queue.probe'])).stdout.toString()
  expect(log.match(/queue\.probe/g)).toHaveLength(1)
})
