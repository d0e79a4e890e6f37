import { readFileSync } from 'node:fs'
import { Queue, Worker } from 'bullmq'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openIngestClient } from '../src/client/ingest-client.js'
import { fileIdFor, ingestJobId } from '../src/ingest/ids.js'
import { parseIngestJob } from '../src/ingest/parse.js'
import { contentFileId, requestOf } from '../src/ingest/request.js'
import type { IngestJobV1 } from '../src/ingest/schema.js'
import { QUEUES, QUEUE_PREFIX } from '../src/queues.js'
import { createWorkerConnection } from '../src/redis.js'
import { MemoryRecords } from './memory-records.js'
import { startRedis, type PrivateRedis } from './private-redis.js'

const textOf = (page: string): string => readFileSync(new URL(`../../../docs/${page}`, import.meta.url), 'utf8')
const contract = textOf('reference/job-format.md')
const example = JSON.parse(/```json\n([\s\S]*?)```/.exec(contract)?.[1] ?? '') as IngestJobV1

/** The documented access list. */
const rights = (/```\n(~\{sealfleet\}[\s\S]*?)```/.exec(textOf('operate/rights.md'))?.[1] ?? '')
  .split(/\s+/)
  .filter((right) => right !== '')

let server: PrivateRedis
beforeAll(async () => {
  server = await startRedis()
  const redis = createWorkerConnection(server.url)
  await redis.acl('SETUSER', 'fleet', 'on', '>fleet', ...rights)
  redis.disconnect()
})
afterAll(() => server[Symbol.asyncDispose]())

test('the documented example follows the contract, and its ids are those of the code', () => {
  expect(parseIngestJob(example)).toEqual(example)
  expect(example.fileId).toBe(fileIdFor('invoice 2026/17'))
  expect(contract).toContain('f-<fileId>-g<generation>')
  expect(requestOf(example).context.toString()).toBe('customer 42')
  expect(contentFileId(requestOf(example))).not.toBe(example.fileId)
})

test('a plain BullMQ job, a client and a worker get along under the documented access list', async () => {
  const url = server.url.replace('//', '//fleet:fleet@')
  const connection = createWorkerConnection(url)
  const plain = new Queue(QUEUES.ingest, { connection, prefix: QUEUE_PREFIX })
  const jobId = ingestJobId(example.fileId, example.generation)
  await plain.add('ingest', example, { jobId, attempts: 12 })
  await plain.add('ingest', example, { jobId, attempts: 12 })

  const records = new MemoryRecords()
  const owned = await openIngestClient({ redisUrl: url, accept: (files) => records.accept(files) })
  const { root, path } = example.source
  // The same file by the client: its job is there already.
  await owned.client.enqueue({ id: 'invoice 2026/17', root, path, context: requestOf(example).context })
  await owned.client.enqueue({ root, path: 'other' })

  const seen: IngestJobV1[] = []
  let finish: () => void = () => undefined
  const both = new Promise<void>((resolve) => {
    finish = resolve
  })
  const take = (job: { data: unknown }): Promise<void> => {
    if (seen.push(parseIngestJob(job.data)) === 2) finish()
    return Promise.resolve()
  }
  const worker = new Worker(QUEUES.ingest, take, { connection, prefix: QUEUE_PREFIX })
  await both
  expect(seen.map(({ source }) => source.path).sort()).toEqual([path, 'other'])
  await worker.close()
  await plain.close()
  await owned.close()
  connection.disconnect()
})
