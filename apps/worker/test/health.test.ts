import { randomUUID } from 'node:crypto'

import { requestProbe } from '@sealfleet/queue'
import { listWorkers } from '@sealfleet/records/upkeep'
import { redisUrl, startFaultProxy, type FaultProxy } from '@sealfleet/testkit'
import { Redis } from 'ioredis'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { heedProbeRequests } from '../src/health/probe-requests.js'
import { LastResults, startRounds } from '@sealfleet/runtime'
import { queueTimes } from '../src/consume/consumer.js'
import { startFleet, type Fleet } from './fleet.js'

test.each([2, 4, 20, 60, 3600])(
  'of a lease of %i s, lock and search for lost jobs are one wait, no longer than it',
  (lease) => {
    const { lockDuration, stalledInterval } = queueTimes(lease)
    expect(lockDuration + stalledInterval).toBe(lease * 1000)
    // A lock is renewed at half of its time: one search must not come between two renewals.
    expect(stalledInterval).toBeLessThanOrEqual(lockDuration / 2)
  },
)

describe('rounds of probes', () => {
  test('tell of what fails and of what is well again, and leave alone what is known to be out', async () => {
    const last = new LastResults<'a' | 'b'>()
    const known = new Set<string>()
    let fails = true
    let asked = 0
    const b = (): Promise<void> => Promise.resolve(void (asked += 1))
    await using _rounds = startRounds<'a' | 'b'>({
      probes: { a: () => (fails ? Promise.reject(new Error('no')) : Promise.resolve()), b },
      skip: (name) => known.has(name),
      onResult: (name, error) => last.set(name, error?.message),
      everyMs: 5,
    })
    await expect.poll(() => [...last.failed]).toEqual([['a', 'no']])
    fails = false
    await expect.poll(() => last.failed.size).toBe(0)
    known.add('b')
    await expect.poll(() => asked).toBeGreaterThan(0)
  })

  test('end at once when disposed of, also with a probe that never ends', async () => {
    let began = 0
    const rounds = startRounds({
      probes: { a: () => new Promise<void>(() => void (began += 1)) },
      onResult: () => undefined,
      everyMs: 1,
    })
    await expect.poll(() => began).toBe(1)
    await rounds[Symbol.asyncDispose]()
  })
})

test('a request to probe is heeded once, and only by who waits', async () => {
  const connection = new Redis(redisUrl())
  const prefix = `{${randomUUID()}}`
  let probes = 0
  let waiting = false
  const ports = { connection, prefix, waiting: () => waiting, probeNow: () => void (probes += 1), everyMs: 5 }
  try {
    using _heeding = heedProbeRequests(ports)
    await requestProbe(connection, prefix, 'one')
    // Nothing is asked of Redis as long as nothing is out: this look comes after many that were not made.
    expect(probes).toBe(0)
    waiting = true
    await expect.poll(() => probes).toBe(1)
    await requestProbe(connection, prefix, 'two')
    await expect.poll(() => probes).toBe(2)
  } finally {
    connection.disconnect()
  }
})

describe('an idle worker', () => {
  let fleet: Fleet
  let store: FaultProxy
  beforeAll(async () => {
    fleet = await startFleet()
    store = await startFaultProxy(fleet.bucket.endpoint)
  })
  afterAll(async () => {
    await fleet?.[Symbol.asyncDispose]()
    await store?.[Symbol.asyncDispose]()
  })

  test('whose bucket goes is not ready, says why and when it looks again; asked to probe after the repair, it is ready at once', async () => {
    const env = { SEALFLEET_S3_ENDPOINT: store.endpoint, SEALFLEET_WORKER_PORT: '0' }
    const worker = await fleet.startWorker({ env, roundMs: 50 })
    const line = fleet.logs.map((text) => JSON.parse(text) as { msg: string; port?: number })
    const port = line.find(({ msg }) => msg === 'health and metrics')?.port ?? 0
    const ready = async () => {
      const response = await fetch(`http://127.0.0.1:${port}/readyz`)
      return `${response.status} ${await response.text()}`
    }
    expect(await ready()).toBe('200 ready\n')

    store.inject('PutObject', { kind: 'status', status: 404, code: 'NoSuchBucket' })
    await expect.poll(ready).toMatch(/^503 not ready: s3: S3_NO_BUCKET for \d+ s\..* Next probe in \d+ s\./)
    const rowOf = async () => (await listWorkers(fleet.records)).find(({ state }) => state === 'READY')
    await expect
      .poll(async () => (await rowOf())?.detail)
      .toMatchObject({
        breakers: { s3: 'S3_NO_BUCKET' },
        probes: { s3: expect.stringMatching(/^\d{4}-.*Z$/) as string },
      })

    store.heal()
    // Its own next probe is five seconds away at least.
    const connection = new Redis(redisUrl())
    await requestProbe(connection, String(fleet.env['SEALFLEET_QUEUE_PREFIX']), randomUUID())
    connection.disconnect()
    await expect.poll(ready).toBe('200 ready\n')
    const closed = fleet.logs.map((text) => JSON.parse(text) as { breaker?: string; durationMs?: number })
    expect(closed.find(({ breaker }) => breaker === 'closed')?.durationMs).toBeGreaterThan(0)
    await worker[Symbol.asyncDispose]()
  })

  test('finds out that its database does not take what a job needs', async () => {
    const worker = await fleet.startWorker({ roundMs: 50 })
    const pool = new pg.Client({ connectionString: fleet.database.url })
    await pool.connect()
    await pool.query('ALTER TABLE workers RENAME TO workers_away')
    const opened = () => fleet.logs.some((text) => /"dependency":"database".*"breaker":"open"/.test(text))
    await expect.poll(opened).toBe(true)
    await pool.query('ALTER TABLE workers_away RENAME TO workers')
    await pool.end()
    const back = () => fleet.logs.some((text) => /"dependency":"database".*"breaker":"closed"/.test(text))
    await expect.poll(back).toBe(true)
    await worker[Symbol.asyncDispose]()
  })
})
