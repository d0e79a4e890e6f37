import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import path from 'node:path'

import { getFile, traceFile } from '@sealfleet/records/files'
import { listWorkers } from '@sealfleet/records/upkeep'
import { type FaultProxy, longTest, redisUrl, startFaultProxy, startTcpGate, type TcpGate } from '@sealfleet/testkit'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { freePort } from '../../../tools/lib/ports.mjs'
import { startFleet, type Fleet } from './fleet.js'
import { enqueue, expectWhole, FILES, Patient, SETTINGS } from './patient.js'

/** The processes that this one has started. */
async function children(): Promise<string[]> {
  const text = await readFile(`/proc/self/task/${process.pid}/children`, 'utf8')
  return text.split(' ').filter((pid) => pid !== '')
}

describe('an outage opens a breaker in the worker, and the backlog stays whole:', () => {
  let fleet: Fleet
  let s3: FaultProxy
  let database: TcpGate
  let redis: TcpGate
  let patient: Patient

  beforeAll(async () => {
    fleet = await startFleet({ s3: 'radosgw' })
    s3 = await startFaultProxy(fleet.bucket.endpoint)
    database = await startTcpGate(fleet.database.url, await freePort())
    redis = await startTcpGate(redisUrl(), await freePort())
    await mkdir(path.join(fleet.root, 'other'))
    patient = await Patient.start(fleet, {
      SEALFLEET_S3_ENDPOINT: s3.endpoint,
      SEALFLEET_DATABASE_URL: database.url,
      SEALFLEET_REDIS_URL: redis.url,
      SEALFLEET_ROOTS: `${fleet.env['SEALFLEET_ROOTS']},other=${path.join(fleet.root, 'other')}`,
    })
  })

  afterAll(async () => {
    await patient?.worker.stop()
    for (const thing of [s3, database, redis, fleet]) await thing?.[Symbol.asyncDispose]()
  })

  test('at the start every breaker is closed and has a metric', async () => {
    for (const dependency of ['hsm', 's3', 'database', 'redis', 'roots']) {
      expect(await patient.metric(`breaker_open{dependency="${dependency}"}`)).toBe(0)
    }
    expect(await patient.ask('readyz')).toEqual({ status: 200, text: 'ready\n' })
  })

  test('S3 answers 500', async () => {
    s3.inject('any', { kind: 'status', status: 500, code: 'InternalError' })
    const ids = await enqueue(fleet, 's3')
    await expect.poll(() => patient.said('open', 's3').length, { timeout: 60_000 }).toBe(1)
    expect(await patient.metric('breaker_open{dependency="s3"}')).toBe(1)
    expect(await patient.metric('worker_ready')).toBe(0)
    const { status, text } = await patient.ask('readyz')
    expect([status, text]).toEqual([503, expect.stringMatching(/^not ready: s3: S3_UNAVAILABLE for \d+ s\. /)])
    expect(await patient.ask('healthz')).toEqual({ status: 200, text: 'ok\n' })
    // Two probes that fail, and no job but those that were under way.
    const probes = () => s3.seen.filter(({ path: key }) => key.includes('.sealfleet-probe')).length
    const before = probes()
    await expect.poll(probes, { timeout: 60_000 }).toBeGreaterThanOrEqual(before + 2)
    expect(patient.said('open', 's3')).toHaveLength(1)
    s3.heal()
    await expectWhole(fleet, ids, 1)
    expect(patient.said('closed', 's3')).toMatchObject([{ level: 30, code: 'S3_UNAVAILABLE' }])
    expect(await patient.metric('breaker_open{dependency="s3"}')).toBe(0)
    expect(await patient.metric('worker_ready')).toBe(1)
    const openings = 'breaker_openings_total{dependency="s3",code="S3_UNAVAILABLE"}'
    expect(await patient.metric(openings)).toBe(1)
  })

  test('Postgres is stopped and started', async () => {
    const ids = await enqueue(fleet, 'database')
    await database.shut()
    await expect.poll(() => patient.said('open', 'database').length, { timeout: 60_000 }).toBe(1)
    expect((await patient.ask('readyz')).text).toMatch(/^not ready: database: DB_UNAVAILABLE/)
    await database.open()
    await expectWhole(fleet, ids, 1)
    expect(patient.said('closed', 'database')).toHaveLength(1)
  })

  test('Redis is stopped and started', async () => {
    const ids = await enqueue(fleet, 'redis')
    await redis.shut()
    await expect.poll(() => patient.said('open', 'redis').length, { timeout: 60_000 }).toBeGreaterThanOrEqual(1)
    await redis.open()
    await expectWhole(fleet, ids, 1)
    await expect.poll(() => patient.said('closed', 'redis').length, { timeout: 60_000 }).toBeGreaterThanOrEqual(1)
    await expect.poll(() => patient.ask('readyz'), { timeout: 60_000 }).toMatchObject({ status: 200 })
  })

  test('the folder of a root is not there: its jobs wait, those of other roots go on', async () => {
    const folder = path.join(fleet.root, 'in')
    const ids = await enqueue(fleet, 'roots', 1)
    await fleet.settled(ids)
    await rename(folder, `${folder}-away`)
    const more = (
      await fleet.producer.client.enqueueMany(
        Array.from({ length: FILES }, (_, i) => ({ root: 'in', path: `again/${i}` })),
      )
    ).map(({ fileId }) => fileId ?? '')
    await expect.poll(() => patient.said('open', 'roots').length, { timeout: 60_000 }).toBe(1)
    expect(patient.said('open', 'roots')).toMatchObject([{ level: 50, code: 'ROOT_UNAVAILABLE' }])
    expect(await patient.metric('pages_total{code="ROOT_UNAVAILABLE"}')).toBeGreaterThan(0)
    // Another root's files are stored meanwhile, and the worker says that it is ready.
    await writeFile(path.join(fleet.root, 'other', 'file'), 'elsewhere')
    const { fileId = '' } = await fleet.producer.client.enqueue({ root: 'other', path: 'file' })
    expect((await fleet.settled([fileId])).get(fileId)?.state).toBe('STORED')
    expect(patient.said('closed', 'roots')).toEqual([])
    expect((await patient.ask('readyz')).status).toBe(200)
    await rename(`${folder}-away`, folder)
    for (let i = 0; i < FILES; i += 1) await fleet.writeSource(`again/${i}`, 'again')
    await expectWhole(fleet, more, 1)
  })

  test('a store that throttles slows the queue and opens nothing', async () => {
    const before = patient.said('open', 's3').length
    s3.inject('PutObject', { kind: 'status', status: 503, code: 'SlowDown' }, { times: 2 })
    const ids = await enqueue(fleet, 'throttled', 4)
    await expectWhole(fleet, ids, 1)
    expect(patient.lines.some(({ code }) => code === 'S3_THROTTLED')).toBe(true)
    expect(patient.said('open', 's3')).toHaveLength(before)
  })

  test('a worker on a healthy line takes what the patient gave back', async () => {
    s3.inject('any', { kind: 'status', status: 500, code: 'InternalError' })
    const first = await enqueue(fleet, 'relay', 4)
    await expect.poll(() => patient.ask('readyz'), { timeout: 60_000 }).toMatchObject({ status: 503 })
    {
      await using _healthy = await fleet.startWorker({ env: SETTINGS })
      await expectWhole(fleet, [...first, ...(await enqueue(fleet, 'relay-2'))], 2)
    }
    expect((await patient.ask('readyz')).status).toBe(503)
    s3.heal()
    await expect.poll(() => patient.ask('readyz'), { timeout: 60_000 }).toMatchObject({ status: 200 })
  })

  test('the records say how the workers are', async () => {
    const workers = await listWorkers(fleet.records)
    expect(workers.map(({ state, alive }) => `${state} ${alive}`).sort()).toEqual(['READY true', 'STOPPED false'])
    expect(workers.find(({ alive }) => alive)).toMatchObject({ pid: process.pid, version: '0.1.0', concurrency: 4 })
  })
})

describe('outages of a fleet of its own:', () => {
  test.concurrent(
    'Postgres goes in the middle of an attempt, for longer than its lease: no crash is counted',
    async ({ expect }) => {
      await using fleet = await startFleet()
      await using database = await startTcpGate(fleet.database.url, await freePort())
      let gone = false
      const patient = await Patient.start(fleet, { SEALFLEET_DATABASE_URL: database.url }, async (step, when) => {
        if (gone || step !== 'derive' || when !== 'before') return
        gone = true
        await database.shut()
      })
      const ids = await enqueue(fleet, 'cut', 1)
      await expect.poll(() => patient.said('open', 'database').length, { timeout: 60_000 }).toBe(1)
      await database.open()
      await expectWhole(fleet, ids, 1)
      const trace = await traceFile(fleet.records, ids[0] ?? '')
      expect(trace?.attempts.map(({ state }) => state)).toEqual(['ABANDONED', 'COMMITTED'])
      expect(trace?.failures.map(({ code, disposition }) => [code, disposition])).toEqual([['FENCED', 'release']])
      await patient.worker.stop()
    },
  )

  longTest(
    'S3 credentials that are refused: the intake pauses, someone is paged, the backlog is whole',
    { concurrent: true },
    async ({ expect }) => {
      await using fleet = await startFleet({ s3: 'radosgw' })
      await using s3 = await startFaultProxy(fleet.bucket.endpoint)
      const patient = await Patient.start(fleet, { SEALFLEET_S3_ENDPOINT: s3.endpoint })
      s3.inject('any', { kind: 'wrong-signature' })
      const ids = await enqueue(fleet, 'denied')
      await expect
        .poll(() => patient.said('open', 's3'), { timeout: 60_000 })
        .toMatchObject([
          { level: 50, code: 'S3_ACCESS_DENIED', msg: expect.stringContaining('SEALFLEET_S3_ACCESS_KEY_ID') as string },
        ])
      expect(await patient.metric('pages_total{code="S3_ACCESS_DENIED"}')).toBeGreaterThan(0)
      expect((await patient.ask('readyz')).text).toMatch(/^not ready: s3: S3_ACCESS_DENIED/)
      s3.heal()
      await expectWhole(fleet, ids, 1)
      await patient.worker.stop()
    },
  )

  longTest('the token is gone and comes back', { concurrent: true }, async ({ expect }) => {
    await using fleet = await startFleet()
    const patient = await Patient.start(fleet)
    const tokens = path.join(fleet.token.dir, 'tokens')
    await rename(tokens, `${tokens}-away`)
    const ids = await enqueue(fleet, 'token')
    await expect.poll(() => patient.said('open', 'hsm').length, { timeout: 60_000 }).toBeGreaterThanOrEqual(1)
    await rename(`${tokens}-away`, tokens)
    await expectWhole(fleet, ids, patient.said('open', 'hsm').length)
    await expect.poll(() => patient.metric('breaker_open{dependency="hsm"}')).toBe(0)
    await patient.worker.stop()
  })

  longTest('a rejected PIN is tried once, however long the breaker probes', async () => {
    await using fleet = await startFleet()
    const others = new Set(await children())
    const patient = await Patient.start(fleet)
    const agent = (await children()).find((pid) => !others.has(pid))
    // From now on every new login meets a wrong PIN; the agent that has logged in goes on until it dies.
    await writeFile(fleet.token.pinFile, '00000000', { mode: 0o600 })
    const [first = ''] = await enqueue(fleet, 'before', 1)
    expect((await fleet.settled([first])).get(first)?.state).toBe('STORED')
    process.kill(Number(agent), 'SIGKILL')
    await expect
      .poll(() => patient.lines.some(({ msg }) => msg === 'HSM login refused'), { timeout: 60_000 })
      .toBe(true)
    const ids = await enqueue(fleet, 'after', 4)
    await expect
      .poll(() => patient.said('open', 'hsm'), { timeout: 60_000 })
      .toMatchObject([{ level: 50, code: 'HSM_ACCESS_DENIED' }])
    await expect
      .poll(async () => (await patient.ask('readyz')).text, { timeout: 60_000 })
      .toMatch(/HSM_ACCESS_DENIED for (1[1-9]|[2-9]\d) s/)
    // The first probe is over by then.
    expect(patient.said('closed', 'hsm')).toEqual([])
    expect(patient.lines.filter(({ msg }) => msg === 'HSM login refused')).toHaveLength(1)
    const states = await Promise.all(ids.map((id) => getFile(fleet.records, id)))
    expect(states.map((found) => found?.file.state)).toEqual(ids.map(() => 'QUEUED'))
    await patient.worker.stop()
  })
})
