import { claimQueues, fleetKey, ingestJobFor, ingestJobId, takeOverQueues, type IngestQueue } from '@sealfleet/queue'
import { ownerOfBucket, takeOverBucket } from '@sealfleet/objects'
import { getFile, listDeadLetters } from '@sealfleet/records/files'
import { getFleet, rememberTakenOver } from '@sealfleet/records/fleet'
import { createLogger, createMetrics } from '@sealfleet/telemetry'
import { loadConfig } from '@sealfleet/config'
import { Redis } from 'ioredis'
import { randomUUID } from 'node:crypto'
import { redisUrl } from '@sealfleet/testkit'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'

import { runMaintenance } from '../../maintenance/src/run.js'
import { startFleet, type Fleet } from './fleet.js'

/** Two fleets: two databases, tokens and buckets, and one Redis. B is pointed at what is A's. */
let a: Fleet
let b: Fleet
let redis: Redis
let idOfA: string
let idOfB: string
let prefix: string

const MISMATCH = { code: 'FLEET_MISMATCH' }

beforeAll(async () => {
  ;[a, b] = await Promise.all([startFleet(), startFleet()])
  idOfA = (await getFleet(a.records)).id
  idOfB = (await getFleet(b.records)).id
  prefix = String(a.env['SEALFLEET_QUEUE_PREFIX'])
  redis = new Redis(redisUrl())
})
afterAll(async () => {
  redis?.disconnect()
  await a?.[Symbol.asyncDispose]()
  await b?.[Symbol.asyncDispose]()
})

const ofA = () => ({ SEALFLEET_QUEUE_PREFIX: prefix })
const bucketOfA = () => ({
  SEALFLEET_S3_BUCKET: a.bucket.bucket,
  SEALFLEET_S3_ENDPOINT: a.bucket.endpoint,
})

function maintenance(env: NodeJS.ProcessEnv) {
  return runMaintenance({
    config: loadConfig({ ...b.env, ...env }, { needs: ['database', 'redis', 's3', 'maintenance', 'ops'] }),
    log: createLogger({ name: 'maintenance', level: 'silent' }),
    metrics: createMetrics({ processMetrics: false }),
    id: `test-${randomUUID().slice(0, 8)}`,
  })
}

/** A file of A's, by a job as a plain producer writes it: no word of whose it is. */
async function plainJob(fleet: Fleet, data: { readonly fleet?: string } = {}): Promise<string> {
  const fileId = randomUUID()
  await fleet.writeSource(fileId, `file ${fileId}`)
  const job = {
    ...ingestJobFor({ fileId, domain: 'default', root: 'in', path: fileId, context: Buffer.alloc(0) }),
    ...data,
  }
  await queueOf(a).add('ingest', job, { jobId: ingestJobId(fileId, 1) })
  return fileId
}
const queueOf = (fleet: Fleet): IngestQueue => fleet.producer.queue

describe('with a worker of A at work', () => {
  let stop: () => Promise<void>
  beforeAll(async () => {
    const worker = await a.startWorker()
    stop = () => worker.stop()
  })
  afterAll(() => stop())

  test('its queues and its bucket carry its id', async () => {
    expect(await redis.get(fleetKey(prefix))).toBe(idOfA)
    expect(await ownerOfBucket(a.ports.store)).toBe(idOfA)
  })

  test('a worker and a maintenance process of B do not start on its queues, nor on its bucket', async () => {
    await expect(b.startWorker({ env: ofA() })).rejects.toMatchObject(MISMATCH)
    await expect(maintenance(ofA())).rejects.toMatchObject(MISMATCH)
    await expect(b.startWorker({ env: bucketOfA() })).rejects.toMatchObject(MISMATCH)
    await expect(maintenance(bucketOfA())).rejects.toMatchObject(MISMATCH)
  })

  test('a job of B in its queue ends as a dead letter with its id, and is not stored', async () => {
    const fileId = await plainJob(a, { fleet: idOfB })
    const mine = await plainJob(a, { fleet: idOfA })
    await a.settled([mine])
    await vi.waitFor(async () => {
      const letters = await listDeadLetters(a.records, { limit: 10 })
      expect(letters).toContainEqual(
        expect.objectContaining({ code: 'FLEET_MISMATCH', jobId: ingestJobId(fileId, 1), fileId: null }),
      )
    })
    expect(await getFile(a.records, fileId)).toBeUndefined()
    // Kept in Redis as evidence; the fleet that it is of gives its file another job.
    expect(await queueOf(a).getJobState(ingestJobId(fileId, 1))).toBe('failed')
    expect((await getFile(a.records, mine))?.file.state).toBe('STORED')
  })

  test('when its bucket has become B’s, it takes no more jobs until it is its own again', async () => {
    const worker = await a.startWorker({ roundMs: 25 })
    const { store } = a.ports
    try {
      await takeOverBucket(store, idOfB)
      const out = '"dependency":"s3","breaker":"open","code":"FLEET_MISMATCH"'
      await vi.waitFor(() => expect(a.logs.join('')).toContain(out), 10_000)
    } finally {
      await takeOverBucket(store, idOfA)
      await worker.stop()
    }
  })

  test('when its Redis is wiped and becomes B’s, it takes no more jobs, and gives back what it took', async () => {
    await redis.del(fleetKey(prefix))
    await claimQueues(redis, idOfB, prefix)
    const fileId = await plainJob(b)
    const jobId = ingestJobId(fileId, 1)
    await vi.waitFor(() => expect(a.logs.join('')).toContain('"code":"FLEET_MISMATCH","err"'), 5_000)
    await vi.waitFor(async () => expect(await queueOf(a).getJobState(jobId)).toMatch(/delayed|waiting/), 5_000)
    expect(await getFile(a.records, fileId)).toBeUndefined()
    // B's own worker stores it.
    const worker = await b.startWorker({ env: ofA() })
    expect([...(await b.settled([fileId])).values()]).toMatchObject([{ state: 'STORED' }])
    expect(await getFile(a.records, fileId)).toBeUndefined()
    await worker.stop()
  })
})

test('jobs that a lost fleet left are taken by the one that took over from it', async () => {
  await takeOverQueues(redis, idOfB, prefix)
  await rememberTakenOver(b.records, idOfA)
  const fileId = await plainJob(b, { fleet: idOfA })
  const worker = await b.startWorker({ env: ofA() })
  expect([...(await b.settled([fileId])).values()]).toMatchObject([{ state: 'STORED' }])
  await worker.stop()
})
