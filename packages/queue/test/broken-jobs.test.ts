import { freshPrefix, redisUrl } from '@sealfleet/testkit'
import { Queue, Worker, DelayedError } from 'bullmq'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { findBrokenJobs } from '../src/broken-jobs.js'

let redis: Redis
let queue: Queue
beforeAll(() => {
  redis = new Redis(redisUrl(), { maxRetriesPerRequest: null })
  queue = new Queue('work', { connection: redis, prefix: freshPrefix() })
})
afterAll(async () => {
  await queue?.obliterate({ force: true })
  await queue?.close()
  redis?.disconnect()
})

const field = (jobId: string, name: string) => redis.hget(queue.toKey(jobId), name)

describe('a sound job is not found, whatever BullMQ wrote into it:', () => {
  test('a delay with a fraction, as a producer gave it', async () => {
    const job = await queue.add('one', {}, { delay: 60_000.5 })
    expect(await field(String(job.id), 'delay')).toBe('60000.5')
    expect(await findBrokenJobs(queue, redis)).toEqual([])
  })

  test('a delay and a time too small for plain digits', async () => {
    await queue.add('one', {}, { delay: 1e-7, timestamp: 1.5 })
    expect(await findBrokenJobs(queue, redis)).toEqual([])
  })

  test('a job that a worker gave back for a fraction of a millisecond', async () => {
    const job = await queue.add('two', {})
    const worker = new Worker(
      queue.name,
      async (taken, token) => {
        await taken.moveToDelayed(Date.now() + 60_000 + 1 / 3, token)
        throw new DelayedError()
      },
      { connection: redis.duplicate(), prefix: queue.opts.prefix ?? '' },
    )
    await expect.poll(() => job.getState()).toBe('delayed')
    await worker.close()
    expect(await field(String(job.id), 'delay')).toMatch(/^\d+\.\d+$/)
    expect(await findBrokenJobs(queue, redis)).toEqual([])
  })
})

test.each([
  ['delay', '1.5.2'],
  ['delay', 'soon'],
  ['timestamp', '0x10'],
  ['delay', 'inf'],
  ['priority', '1.5'],
  ['ats', '1.5'],
])('a job is found whose %s is %s', async (name, value) => {
  const job = await queue.add('three', {}, { delay: 60_000 })
  await redis.hset(queue.toKey(String(job.id)), name, value)
  expect(await findBrokenJobs(queue, redis)).toEqual([{ jobId: job.id, reason: `${name} is no usable number` }])
  await job.remove()
})
