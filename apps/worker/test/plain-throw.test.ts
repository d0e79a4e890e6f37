import { CodedError } from '@sealfleet/failures'
import { DEFAULT_JOB_OPTIONS, QUEUES } from '@sealfleet/queue'
import { createLogger } from '@sealfleet/telemetry'
import { freshPrefix, redisUrl } from '@sealfleet/testkit'
import { Queue } from 'bullmq'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, expect, test } from 'vitest'

import { startConsumer, type Consumer } from '../src/consume/consumer.js'
import { Activity } from '../src/health/activity.js'

let redis: Redis
let queue: Queue
let consumer: Consumer<void>
const logs: string[] = []

beforeAll(() => {
  redis = new Redis(redisUrl(), { maxRetriesPerRequest: null })
  const prefix = freshPrefix()
  queue = new Queue(QUEUES.ingest, { connection: redis, prefix, defaultJobOptions: DEFAULT_JOB_OPTIONS })
  consumer = startConsumer<void>({
    queue: QUEUES.ingest,
    connection: redis,
    prefix,
    concurrency: 1,
    workerId: 'plain-throw',
    leaseSeconds: 60,
    log: createLogger({ name: 'test', level: 'debug', destination: { write: (line) => void logs.push(line) } }),
    assertOurs: () => Promise.resolve(),
    activity: new Activity(),
    refuse: () => Promise.resolve(),
    onOutage: () => undefined,
    // Errors that no attempt handled: a connection that broke in between, and a fault of the worker itself.
    process: ({ name }) =>
      Promise.reject(name === 'an outage' ? new CodedError('S3_UNAVAILABLE', 'no luck') : new Error('no luck')),
  })
})
afterAll(async () => {
  await consumer?.drain(0)
  await queue?.obliterate({ force: true })
  await queue?.close()
  redis?.disconnect()
})

test('a job whose processor throws an outage waits by the policy of its code', async () => {
  const job = await queue.add('an outage', {})
  await expect.poll(() => job.getState()).toBe('delayed')
  const found = await queue.getJob(String(job.id))
  expect(found).toMatchObject({ attemptsMade: 1, failedReason: 'no luck' })
  expect(found?.delay).toBeGreaterThan(0)
})

test('a job whose processor throws a fault of the worker ends as failed: reconcile finds its file without a job', async () => {
  const job = await queue.add('a fault', {})
  await expect.poll(() => job.getState()).toBe('failed')
  expect(logs.join('')).not.toContain('backoff strategy')
})
