import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { outboxDepth } from '@sealfleet/records/upkeep'
import { redisUrl } from '@sealfleet/testkit'
import { Worker } from 'bullmq'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { deliverJobs, type OpenFile } from '../src/client/deliver.js'
import { enqueueIngest } from '../src/client/enqueue-ingest.js'
import { openIngestClient } from '../src/client/ingest-client.js'
import { jobPresence } from '../src/client/queue.js'
import type { ReadStates } from '../src/client/terms.js'
import { ingestJobId } from '../src/ingest/ids.js'
import { parseIngestJob } from '../src/ingest/parse.js'
import { createWorkerConnection } from '../src/redis.js'
import { MemoryRecords } from './memory-records.js'
import { openOutboxHouse, type OutboxHouse } from './outbox-house.js'
import { startRedis } from './private-redis.js'

let house: OutboxHouse
beforeAll(async () => {
  house = await openOutboxHouse()
})
afterAll(() => house[Symbol.asyncDispose]())
beforeEach(async () => {
  await house.drain()
  await house.ingest.queue.obliterate({ force: true })
})

const openFile = (over: Partial<OpenFile> = {}): OpenFile => ({
  id: randomUUID(),
  generation: 1,
  domain: 'default',
  source: { root: 'inbox', path: 'a' },
  context: Buffer.alloc(0),
  ...over,
})
const queued: ReadStates = (ids) => Promise.resolve(ids.map((fileId) => ({ fileId, state: 'QUEUED' })))
const unasked: ReadStates = () => Promise.reject(new Error('no state was to be read'))

/** Takes one job off the queue and ends it. */
async function work(outcome: 'completed' | 'failed'): Promise<void> {
  const { queue } = house.ingest
  const connection = createWorkerConnection(redisUrl())
  const process = (): Promise<string> => (outcome === 'failed' ? Promise.reject(new Error('x')) : Promise.resolve('x'))
  const settings = { backoffStrategy: () => -1 }
  const worker = new Worker(queue.name, process, { connection, prefix: queue.opts.prefix ?? '', settings })
  await once(worker, outcome)
  await worker.close()
  connection.disconnect()
}

describe('deliverJobs', () => {
  test('adds jobs of the contract, and none for files that have one', async () => {
    const { queue } = house.ingest
    const files = [openFile(), openFile({ generation: 3, context: Buffer.from('c') })]
    expect(await deliverJobs(queue, files, unasked)).toBe(2)
    expect(await deliverJobs(queue, [...files, openFile()], unasked)).toBe(1)
    expect(await deliverJobs(queue, [], unasked)).toBe(0)
    const [first, second] = files.map(({ id, generation }) => ingestJobId(id, generation))
    expect(parseIngestJob((await queue.getJob(first!))?.data)).toEqual({
      ...{ v: 1, fileId: files[0]!.id, domain: 'default', source: { root: 'inbox', path: 'a' }, generation: 1 },
    })
    expect(parseIngestJob((await queue.getJob(second!))?.data)).toMatchObject({ context: 'Yw', generation: 3 })
    expect((await queue.getJob(first!))?.opts).toMatchObject({ attempts: 12, backoff: { type: 'sealfleet' } })
    expect(await queue.getWaitingCount()).toBe(3)
  })

  test('a hash in place of the waiting list, which a job of the id "wait" left, keeps no job out of the queue', async () => {
    const { queue } = house.ingest
    await queue.redis.hset(queue.toKey('wait'), { ats: '1', processedOn: '1' })
    const files = [openFile(), openFile(), openFile()]
    expect(await deliverJobs(queue, files, unasked)).toBe(3)
    const listed = [...(await queue.getWaiting()), ...(await queue.getDelayed())].map(({ id }) => String(id))
    expect(listed.toSorted()).toEqual(files.map(({ id }) => ingestJobId(id, 1)).toSorted())
    await work('completed')
  })

  test.each(['completed', 'failed'] as const)(
    'a job that %s stands in the way of an open file, and goes',
    async (end) => {
      const { queue } = house.ingest
      const file = openFile()
      await deliverJobs(queue, [file], unasked)
      await work(end)
      expect(await queue.getJobState(ingestJobId(file.id, 1))).toBe(end)
      expect(await deliverJobs(queue, [file], queued)).toBe(1)
      expect(await queue.getJobState(ingestJobId(file.id, 1))).toBe('waiting')
    },
  )

  test('a job that ended together with its file stays as evidence', async () => {
    const { queue } = house.ingest
    const file = openFile()
    await deliverJobs(queue, [file], unasked)
    await work('failed')
    const dead: ReadStates = (ids) => Promise.resolve(ids.map((fileId) => ({ fileId, state: 'DEAD' })))
    expect(await deliverJobs(queue, [file], dead)).toBe(0)
    expect(await queue.getJobState(ingestJobId(file.id, 1))).toBe('failed')
  })

  test('a row that breaks the contract doesn’t keep the others from their jobs', async () => {
    const bad = openFile({ source: { root: 'NO ROOT', path: '../x' } })
    expect(await deliverJobs(house.ingest.queue, [bad, openFile()], unasked)).toBe(2)
  })
})

describe('a job’s presence', () => {
  test('is live again once it is retried, as BullMQ’s own state says', async () => {
    const { queue } = house.ingest
    const file = openFile()
    const jobId = ingestJobId(file.id, 1)
    expect(await jobPresence(queue, jobId)).toBe('absent')
    await deliverJobs(queue, [file], unasked)
    expect(await jobPresence(queue, jobId)).toBe('live')
    for (const again of ['retry', 'retryJobs'] as const) {
      await work('failed')
      expect(await jobPresence(queue, jobId)).toBe('ended')
      if (again === 'retry') await (await queue.getJob(jobId))?.retry()
      else await queue.retryJobs()
      expect(await queue.getJobState(jobId)).toBe('waiting')
      expect(await jobPresence(queue, jobId)).toBe('live')
    }
    await queue.remove(jobId)
    expect(await jobPresence(queue, jobId)).toBe('absent')
  })

  test('is live while it runs, and while it waits for its next try', async () => {
    const { queue } = house.ingest
    const file = openFile()
    const jobId = ingestJobId(file.id, 1)
    await deliverJobs(queue, [file], unasked)
    const connection = createWorkerConnection(redisUrl())
    const seen: unknown[] = []
    const process = async (): Promise<never> => {
      seen.push(await queue.getJobState(jobId), await jobPresence(queue, jobId))
      throw new Error('once more')
    }
    const settings = { backoffStrategy: () => 3_600_000 }
    const worker = new Worker(queue.name, process, { connection, prefix: queue.opts.prefix ?? '', settings })
    await once(worker, 'failed')
    await worker.close()
    connection.disconnect()
    seen.push(await queue.getJobState(jobId), await jobPresence(queue, jobId))
    expect(seen).toEqual(['active', 'live', 'delayed', 'live'])
  })

  test('is asked without going through the list of those that wait', async () => {
    await using server = await startRedis()
    const ingest = await openIngestClient({
      redisUrl: server.url,
      accept: (files) => new MemoryRecords().accept(files),
    })
    const requests = Array.from({ length: 20 }, (_, n) => ({ root: 'inbox', path: `${n}` }))
    await ingest.client.enqueueMany(requests)
    await ingest.client.enqueueMany(requests)
    await deliverJobs(ingest.queue, [openFile()], unasked)
    const calls = await ingest.redis.info('commandstats')
    expect(calls).toContain('cmdstat_hgetall')
    expect(calls).not.toMatch(/cmdstat_(lpos|lrange)/)
    await ingest.close()
  })
})

describe('the relay with real servers', () => {
  const post = (n: number) =>
    house.prisma.$transaction((tx) =>
      enqueueIngest(
        tx,
        Array.from({ length: n }, () => ({ root: 'inbox', path: randomUUID() })),
      ),
    )

  test('two at once bring 3,000 jobs, each once', async () => {
    const { queue } = house.ingest
    const added: string[] = []
    const addBulk = queue.addBulk.bind(queue)
    queue.addBulk = (jobs) => {
      added.push(...jobs.map(({ opts }) => String(opts?.jobId)))
      return addBulk(jobs)
    }
    try {
      const results = await post(3_000)
      const relay = async (): Promise<void> => {
        while ((await outboxDepth(house.records)).waiting > 0) await house.relay(100)
      }
      await Promise.all([relay(), relay()])
      expect(added).toHaveLength(3_000)
      expect(new Set(added)).toEqual(new Set(results.map(({ jobId }) => jobId)))
      expect(await queue.getWaitingCount()).toBe(3_000)
    } finally {
      queue.addBulk = addBulk
    }
  })

  test('one that ends between addBulk and commit repeats, and adds nothing twice', async () => {
    await post(50)
    await expect(house.relay(500, () => Promise.reject(new Error('killed')))).rejects.toThrow('killed')
    expect(await house.ingest.queue.getWaitingCount()).toBe(50)
    expect(await outboxDepth(house.records)).toMatchObject({ waiting: 50 })
    expect(await house.relay(500)).toBe(50)
    expect(await house.relay(500)).toBe(0)
    expect(await house.ingest.queue.getWaitingCount()).toBe(50)
  })

  test('when Redis is gone, the rows wait; the error is Redis’s', async () => {
    await post(3)
    const doomed = await startRedis()
    const lost = await openIngestClient({ redisUrl: doomed.url, accept: (files) => new MemoryRecords().accept(files) })
    await doomed[Symbol.asyncDispose]()
    const { queue } = house.ingest
    Object.assign(house.ingest, { queue: lost.queue })
    try {
      await expect(house.relay(10)).rejects.not.toMatchObject({ name: 'RecordsError' })
      expect(await outboxDepth(house.records)).toMatchObject({ waiting: 3 })
    } finally {
      Object.assign(house.ingest, { queue })
      lost.redis.disconnect()
    }
    expect(await house.relay(10)).toBe(3)
  })
})
