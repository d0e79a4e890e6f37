import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { Worker } from 'bullmq'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { openIngestClient, type IngestClient, type OwnedIngestClient } from '../src/client/ingest-client.js'
import type { IngestRequest } from '../src/client/terms.js'
import { fileIdFor, ingestJobId } from '../src/ingest/ids.js'
import { parseIngestJob } from '../src/ingest/parse.js'
import { contentFileId, fingerprintOf } from '../src/ingest/request.js'
import { connectProducer, createWorkerConnection } from '../src/redis.js'
import { MemoryRecords } from './memory-records.js'
import { closing, startRedis, type PrivateRedis } from './private-redis.js'

let server: PrivateRedis
let records: MemoryRecords
let owned: OwnedIngestClient
let client: IngestClient
let prefix: string

beforeAll(async () => {
  server = await startRedis()
})
afterAll(() => server[Symbol.asyncDispose]())
beforeEach(async () => {
  prefix = `{sealfleet-test-${randomUUID().slice(0, 8)}}`
  records = new MemoryRecords()
  owned = await openIngestClient({ redisUrl: server.url, prefix, accept: (files) => records.accept(files) })
  client = owned.client
})
afterEach(() => owned.close())

const request = (path: string, more: Partial<IngestRequest> = {}): IngestRequest => ({ root: 'inbox', path, ...more })
const jobs = async (): Promise<number> =>
  (await owned.queue.getJobCountByTypes('waiting', 'active', 'completed', 'failed', 'delayed')) ?? 0

/** Takes one job off the queue and ends it. */
async function work(outcome: 'completed' | 'failed'): Promise<void> {
  const connection = createWorkerConnection(server.url)
  const process = (): Promise<string> => (outcome === 'failed' ? Promise.reject(new Error('x')) : Promise.resolve('x'))
  // One attempt: the job of this test ends as soon as it has failed once.
  const worker = new Worker(owned.queue.name, process, { connection, prefix, settings: { backoffStrategy: () => -1 } })
  await once(worker, outcome)
  await worker.close()
  connection.disconnect()
}

describe('enqueue', () => {
  test('writes the file down, then adds a job that follows the contract', async () => {
    const context = Buffer.from('case 7')
    const result = await client.enqueue(request('a/b.txt', { id: 'invoice 17', context }), { batchId: randomUUID() })
    const fileId = fileIdFor('invoice 17')
    expect(result).toMatchObject({ outcome: 'queued', fileId, jobId: ingestJobId(fileId, 1) })
    const job = await owned.queue.getJob(ingestJobId(fileId, 1))
    expect(parseIngestJob(job?.data)).toEqual({
      v: 1,
      fileId,
      domain: 'default',
      source: { root: 'inbox', path: 'a/b.txt' },
      context: context.toString('base64url'),
      generation: 1,
    })
    expect(job?.opts).toMatchObject({ attempts: 12, backoff: { type: 'sealfleet' } })
    const row = records.rows.get(fileId)
    expect(row?.accept.context).toEqual(context)
    expect(row?.accept.fingerprint).toEqual(fingerprintOf(parseIngestJob(job?.data)))
    expect(row?.accept.batchId).toMatch(/^[0-9a-f-]{36}$/)
  })

  test('without an id, the same request is the same file', async () => {
    const first = await client.enqueue(request('a'))
    const second = await client.enqueue(request('a'))
    expect(first.fileId).toBe(contentFileId({ domain: 'default', root: 'inbox', path: 'a', context: Buffer.alloc(0) }))
    expect(second).toMatchObject({ fileId: first.fileId, outcome: 'already-queued' })
    expect(await jobs()).toBe(1)
  })

  test('a job that Redis lost is made again', async () => {
    const { jobId = '' } = await client.enqueue(request('a'))
    await owned.queue.remove(jobId)
    expect(await client.enqueue(request('a'))).toMatchObject({ outcome: 'requeued', jobId })
    expect(await jobs()).toBe(1)
  })

  test.each(['completed', 'failed'] as const)(
    'a job that %s while its file is still open is replaced',
    async (ending) => {
      const { jobId = '' } = await client.enqueue(request('a'))
      await work(ending)
      expect(await owned.queue.getJobState(jobId)).toBe(ending)
      expect(await client.enqueue(request('a'))).toMatchObject({ outcome: 'requeued', jobId })
      expect(await owned.queue.getJobState(jobId)).toBe('waiting')
    },
  )

  test('a file accepted again gets its job although Redis still holds an ended one of that id', async () => {
    const { fileId = '', jobId = '' } = await client.enqueue(request('a'))
    await work('completed')
    records.rows.delete(fileId)
    expect(await client.enqueue(request('a'))).toMatchObject({ outcome: 'queued', jobId })
    expect(await owned.queue.getJobState(jobId)).toBe('waiting')
  })

  test('a job that ended together with its file is left alone', async () => {
    const { fileId = '', jobId = '' } = await client.enqueue(request('a'))
    await work('completed')
    const accept = records.accept.bind(records)
    let asked = 0
    records.accept = (files) => {
      if (++asked === 2) records.end(fileId, 'STORED')
      return accept(files)
    }
    expect(await client.enqueue(request('a'))).toMatchObject({ outcome: 'stored', fileId })
    expect(await owned.queue.getJobState(jobId)).toBe('completed')
  })

  test.each([
    ['STORED', 'stored'],
    ['DEAD', 'dead'],
    ['DISCARDED', 'discarded'],
    ['DELETED', 'deleted'],
  ] as const)('a file that is %s gets no second job', async (state, outcome) => {
    const { fileId = '', jobId = '' } = await client.enqueue(request('a'))
    records.end(fileId, state)
    await owned.queue.remove(jobId)
    expect(await client.enqueue(request('a'))).toMatchObject({ outcome, fileId })
    expect(await jobs()).toBe(0)
  })

  test('a replayed file keeps its generation', async () => {
    const { fileId = '' } = await client.enqueue(request('a'))
    const row = records.rows.get(fileId)
    if (row !== undefined) row.generation = 3
    const result = await client.enqueue(request('a'))
    expect(result).toMatchObject({ outcome: 'requeued', jobId: ingestJobId(fileId, 3) })
    expect((await owned.queue.getJob(ingestJobId(fileId, 3)))?.data.generation).toBe(3)
  })

  test.each([
    ['another path', request('b', { id: 'x' })],
    ['another root', { ...request('a', { id: 'x' }), root: 'archive' }],
    ['another domain', request('a', { id: 'x', domain: randomUUID() })],
    ['another context', request('a', { id: 'x', context: Buffer.from('y') })],
  ])('the same id for %s is a conflict, and the first file is untouched', async (_, other) => {
    const { fileId } = await client.enqueue(request('a', { id: 'x' }))
    await expect(client.enqueue(other)).rejects.toMatchObject({ code: 'REQUEST_CONFLICT' })
    expect(await jobs()).toBe(1)
    expect((await owned.queue.getJob(ingestJobId(String(fileId), 1)))?.data.source.path).toBe('a')
  })

  test.each([
    ['a path out of the root', request('../a')],
    ['an absolute path', request('/a')],
    ['an unknown form of domain', request('a', { domain: 'tenant' })],
    ['a context too long', request('a', { context: Buffer.alloc(1025) })],
    ['an empty id', request('a', { id: '' })],
  ])('%s is refused before anything is written', async (_, bad) => {
    await expect(client.enqueue(bad)).rejects.toMatchObject({ code: 'PAYLOAD_INVALID' })
    expect(records.calls).toEqual([])
  })
})

describe('enqueueMany', () => {
  test('goes in chunks, reports progress, keeps the order, lets one bad request pass', async () => {
    const progress: number[] = []
    const batchId = randomUUID()
    const requests = Array.from({ length: 25 }, (_, n) => request(n === 7 ? '../x' : `f${n}`))
    const results = await client.enqueueMany(requests, {
      chunkSize: 10,
      batchId,
      onProgress: (done) => progress.push(done),
    })
    expect(progress).toEqual([10, 20, 25])
    expect(records.calls).toEqual([9, 10, 5])
    expect(results.map(({ request: { path } }) => path)).toEqual(requests.map(({ path }) => path))
    expect(results.filter(({ outcome }) => outcome === 'queued')).toHaveLength(24)
    expect(results[7]).toMatchObject({ outcome: 'invalid', error: { code: 'PAYLOAD_INVALID' } })
    expect(await jobs()).toBe(24)
    expect([...records.rows.values()].every(({ accept }) => accept.batchId === batchId)).toBe(true)
  })

  test('the same id twice in one call is one file, or a conflict', async () => {
    const results = await client.enqueueMany([
      request('a', { id: 'x' }),
      request('a', { id: 'x' }),
      request('b', { id: 'x' }),
    ])
    expect(results.map(({ outcome }) => outcome)).toEqual(['queued', 'already-queued', 'conflict'])
    expect(await jobs()).toBe(1)
  })

  test('takes a stream of requests, and asking again changes nothing', async () => {
    // eslint-disable-next-line @typescript-eslint/require-await -- a stream, as a directory walk gives it
    async function* stream(): AsyncGenerator<IngestRequest> {
      for (let n = 0; n < 1_200; n++) yield request(`f${n}`)
    }
    const first = await client.enqueueMany(stream())
    const second = await client.enqueueMany(stream())
    expect(first.every(({ outcome }) => outcome === 'queued')).toBe(true)
    expect(second.every(({ outcome }) => outcome === 'already-queued')).toBe(true)
    expect(await jobs()).toBe(1_200)
    expect(records.calls).toEqual([500, 500, 200, 500, 500, 200])
  })

  test('accepts nothing more when the caller takes no more, though the source still gives', async () => {
    let give = (): void => undefined
    const waiting = new Promise<void>((resolve) => (give = resolve))
    let ended = false
    async function* source() {
      try {
        yield* [request('1'), request('2')]
        await waiting
        yield request('3')
      } finally {
        ended = true
      }
    }
    let taken = 0
    for await (const _ of client.enqueueChunks(source(), { chunkSize: 1 })) {
      taken += 1
      if (taken === 2) break
    }
    give()
    await expect.poll(() => ended).toBe(true)
    expect(records.calls).toEqual([1, 1])
    expect(await jobs()).toBe(2)
  })

  test('stops between chunks when it is aborted', async () => {
    const abort = new AbortController()
    const requests = Array.from({ length: 20 }, (_, n) => request(`f${n}`))
    const many = client.enqueueMany(requests, {
      chunkSize: 5,
      signal: abort.signal,
      onProgress: () => abort.abort(new Error('enough')),
    })
    await expect(many).rejects.toThrow('enough')
    expect(await jobs()).toBe(5)
  })
})

test('two clients that enqueue the same files at once make one job of each', async () => {
  const other = await openIngestClient({ redisUrl: server.url, prefix, accept: (files) => records.accept(files) })
  const requests = Array.from({ length: 50 }, (_, n) => request(`f${n}`))
  await Promise.all([client.enqueueMany(requests), other.client.enqueueMany(requests)])
  await other.close()
  expect(await jobs()).toBe(50)
})

test('when Redis is gone after the file was accepted, the error says so, and asking again mends it', async () => {
  const doomed = await startRedis()
  const lost = await openIngestClient({ redisUrl: doomed.url, prefix, accept: (files) => records.accept(files) })
  const closed = closing(lost.redis)
  await doomed[Symbol.asyncDispose]()
  await closed
  await expect(lost.client.enqueue(request('a'))).rejects.toMatchObject({
    code: 'REDIS_UNAVAILABLE',
    fix: expect.stringContaining('Ask again') as string,
  })
  lost.redis.disconnect()
  expect(records.rows.size).toBe(1)
  expect(await client.enqueue(request('a'))).toMatchObject({ outcome: 'requeued' })
})

test('a Redis that may evict is refused', async () => {
  const redis = await connectProducer(server.url)
  await redis.config('SET', 'maxmemory-policy', 'allkeys-lru')
  await expect(
    openIngestClient({ redisUrl: server.url, accept: (files) => records.accept(files) }),
  ).rejects.toMatchObject({
    code: 'REDIS_UNSUITABLE',
  })
  await redis.config('SET', 'maxmemory-policy', 'noeviction')
  redis.disconnect()
})
