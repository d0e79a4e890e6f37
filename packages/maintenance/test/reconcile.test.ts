import { createHash, randomUUID } from 'node:crypto'

import { ingestJobId, openIngestClient, queueView, type OwnedIngestClient } from '@sealfleet/queue'
import { acceptFiles, fileStates } from '@sealfleet/records/files'
import { heartbeat, listWorkers } from '@sealfleet/records/upkeep'
import { freshPrefix, redisUrl } from '@sealfleet/testkit'
import { Worker } from 'bullmq'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'

import { isUnbalanced, reconcile } from '../src/reconcile.js'
import { openHouse, type House } from './support.js'

let house: House
let producer: OwnedIngestClient

beforeAll(async () => {
  house = await openHouse('s3rver')
})
afterAll(() => house?.[Symbol.asyncDispose]())
beforeEach(async () => {
  producer = await openIngestClient({
    redisUrl: redisUrl(),
    prefix: freshPrefix(),
    accept: (files) => acceptFiles(house.records, files),
  })
  await house.sql.query(
    `UPDATE files SET state = 'QUEUED', lease_owner = NULL, lease_expires_at = NULL WHERE state = 'RUNNING'`,
  )
  await house.sql.query(`UPDATE files SET state = 'DISCARDED' WHERE state = 'QUEUED'`)
  return () => producer.close()
})

const now = { idleSeconds: 0 }
const ports = () => ({
  records: house.records,
  jobs: queueView(producer.queue, (ids) => fileStates(house.records, ids)),
})
const waiting = () => producer.queue.getJobCountByTypes('waiting', 'delayed')

async function enqueue(n: number): Promise<string[]> {
  const requests = Array.from({ length: n }, () => ({ root: 'in', path: randomUUID() }))
  return (await producer.client.enqueueMany(requests)).map(({ fileId }) => fileId ?? '')
}

test('a queue that lost everything gets a job for each open file, once, whatever their number', async () => {
  await enqueue(1_234)
  await producer.queue.obliterate({ force: true })
  expect(await reconcile(ports(), { ...now, dryRun: true })).toMatchObject({ lost: 1_234, requeued: 0, dryRun: true })
  expect(await waiting()).toBe(0)
  expect(await reconcile(ports(), now)).toMatchObject({ looked: 1_234, lost: 1_234, requeued: 1_234, openFiles: 1_234 })
  expect(await waiting()).toBe(1_234)
  expect(await reconcile(ports(), now)).toMatchObject({ lost: 0, requeued: 0, liveJobs: 1_234 })
})

test('two at once add each job once', async () => {
  await enqueue(700)
  await producer.queue.obliterate({ force: true })
  await Promise.all([reconcile(ports(), now), reconcile(ports(), now)])
  expect(await waiting()).toBe(700)
})

test('a file whose worker died and whose job is gone gets a job; a live lease, a live job and a young file do not', async () => {
  const dead = await house.begin()
  const live = await house.begin()
  const [queued = ''] = await enqueue(1)
  await house.expireLease(dead)
  const young = await reconcile(ports(), { idleSeconds: 60 })
  expect(young).toMatchObject({ looked: 0, lost: 0 })
  expect(await reconcile(ports(), now)).toMatchObject({ looked: 2, lost: 1, requeued: 1, expiredLeases: 1 })
  const jobs = (await producer.queue.getJobs(['waiting'])).map(({ id }) => id)
  expect(jobs.sort()).toEqual([ingestJobId(queued, 1), ingestJobId(dead.fileId, 1)].sort())
  expect(jobs).not.toContain(ingestJobId(live.fileId, 1))
})

test('a job that ended while its file is still open is put aside for a new one', async () => {
  await enqueue(1)
  await using worker = ending(
    new Worker('ingest', () => Promise.resolve('nothing was done'), {
      connection: { url: redisUrl(), maxRetriesPerRequest: null },
      prefix: producer.queue.opts.prefix ?? '',
    }),
  )
  await expect.poll(() => producer.queue.getJobCountByTypes('completed')).toBe(1)
  await worker.close()
  expect(await reconcile(ports(), now)).toMatchObject({ lost: 1, requeued: 1 })
  expect(await waiting()).toBe(1)
})

test('a quick look does not ask for each file while the queue holds as many jobs as there are open files', async () => {
  await enqueue(20)
  expect(await reconcile(ports(), { ...now, quick: true })).toMatchObject({ looked: 0, books: null })
  await producer.queue.obliterate({ force: true })
  expect(await reconcile(ports(), { ...now, quick: true })).toMatchObject({ lost: 20, requeued: 20 })
})

test('what the outbox will still bring is no lost job', async () => {
  const fileId = randomUUID()
  await acceptFiles(house.records, [
    {
      ...{ fileId, domain: 'default', source: { root: 'in', path: fileId }, context: Buffer.alloc(0) },
      fingerprint: createHash('sha256').update(fileId).digest(),
    },
  ])
  await house.sql.query('INSERT INTO outbox (file_id, generation) VALUES ($1, 1)', [fileId])
  expect(await reconcile(ports(), now)).toMatchObject({ looked: 0, lost: 0 })
  await house.sql.query('UPDATE outbox SET relayed_at = now()')
  expect(await reconcile(ports(), now)).toMatchObject({ looked: 1, lost: 1 })
})

test('the books are made up, and workers silent for a day are forgotten', async () => {
  const one = { host: 'h', pid: 1, version: '0', state: 'READY', concurrency: 1, ttlSeconds: 45 } as const
  await heartbeat(house.records, { id: 'old', ...one })
  await heartbeat(house.records, { id: 'new', ...one })
  await house.sql.query(
    `UPDATE workers SET heartbeat_at = now() - interval '3 days', expires_at = now() - interval '2 days' WHERE id = 'old'`,
  )
  const report = await reconcile(ports(), now)
  expect(report.workersForgotten).toBe(1)
  expect((await listWorkers(house.records)).map(({ id }) => id)).toEqual(['new'])
  expect(report.books).toMatchObject({ difference: 0 })
  expect(report.books && isUnbalanced(report.books)).toBe(false)

  const dead = await house.begin()
  await house.fail(dead, 'dead')
  await house.sql.query('ALTER TABLE dead_letters DISABLE TRIGGER ALL')
  await house.sql.query('DELETE FROM dead_letters WHERE file_id = $1', [dead.fileId])
  const { books } = await reconcile(ports(), now)
  expect(books).toMatchObject({ deadWithoutLetter: 1 })
  expect(books && isUnbalanced(books)).toBe(true)
})

/** Closed when the test ends, however it ends. */
function ending<T extends { close(): Promise<void> }>(thing: T): T & AsyncDisposable {
  return Object.assign(thing, { [Symbol.asyncDispose]: () => thing.close() })
}
