import { randomUUID } from 'node:crypto'
import { EventEmitter } from 'node:events'
import { QueueEvents, Worker } from 'bullmq'
import { expect, test } from 'vitest'
import { FileIds } from '../src/client/file-ids.js'
import { openIngestClient } from '../src/client/ingest-client.js'
import type { FileStatus, ReadStates } from '../src/client/terms.js'
import { awaitFiles, waitForFiles, type WaitProgress } from '../src/client/wait.js'
import { parseIngestJob } from '../src/ingest/parse.js'
import { createWorkerConnection } from '../src/redis.js'
import { MemoryRecords } from './memory-records.js'
import { startRedis } from './private-redis.js'

const A = randomUUID()
const B = randomUUID()

/** Gives one answer a look. */
function answers(...looks: (readonly FileStatus[] | Error)[]): ReadStates & { readonly asked: (readonly string[])[] } {
  const asked: (readonly string[])[] = []
  const states: ReadStates = (fileIds) => {
    asked.push(fileIds)
    const look = looks.shift() ?? new Error('asked too often')
    return look instanceof Error ? Promise.reject(look) : Promise.resolve(look)
  }
  return Object.assign(states, { asked })
}

test('asks until every file is in a final state, and only about those that are not', async () => {
  const progress: WaitProgress[] = []
  const states = answers(
    [],
    [{ fileId: A, state: 'RUNNING' }],
    [
      { fileId: A, state: 'STORED' },
      { fileId: B, state: 'QUEUED' },
    ],
    [{ fileId: B, state: 'DEAD', code: 'SOURCE_MISSING' }],
  )
  const ended = await waitForFiles(states, [A, B, A], {
    pollMs: 1,
    maxPollMs: 2,
    onProgress: (now) => progress.push(now),
  })
  expect([...ended.values()]).toEqual([
    { fileId: A, state: 'STORED' },
    { fileId: B, state: 'DEAD', code: 'SOURCE_MISSING' },
  ])
  expect(states.asked).toEqual([[A, B], [A, B], [A, B], [B]])
  expect(progress).toEqual([
    { done: 1, total: 2, byState: { STORED: 1 } },
    { done: 2, total: 2, byState: { STORED: 1, DEAD: 1 } },
  ])
})

test('nothing to wait for is done at once', async () => {
  expect((await waitForFiles(answers(), [])).size).toBe(0)
})

test('sits out an outage of the database, and says so', async () => {
  const trouble: unknown[] = []
  const outage = Object.assign(new Error('gone'), { code: 'DB_UNAVAILABLE' })
  const states = answers(outage, [{ fileId: A, state: 'STORED' }])
  await waitForFiles(states, [A], { pollMs: 1, onTrouble: (error) => trouble.push(error) })
  expect(trouble).toEqual([outage])
})

test('passes on what is no outage', async () => {
  const denied = Object.assign(new Error('no'), { code: 'DB_ACCESS_DENIED' })
  await expect(waitForFiles(answers(denied), [A], { pollMs: 1 })).rejects.toBe(denied)
})

test('stops when it is aborted, also in the middle of a pause', async () => {
  const abort = new AbortController()
  const waiting = waitForFiles(
    () => {
      setImmediate(() => abort.abort(new Error('enough')))
      return Promise.resolve([])
    },
    [A],
    { pollMs: 3_600_000, maxPollMs: 3_600_000, signal: abort.signal },
  )
  await expect(waiting).rejects.toThrow('enough')
})

test('an event of one of its jobs ends a pause; those of others, and bytes of the wrong shape, do nothing', async () => {
  const events = new EventEmitter()
  const bytes: unknown[] = []
  const states = answers([], [{ fileId: A, state: 'STORED' }])
  const waiting = waitForFiles(states, [A], {
    pollMs: 3_600_000,
    maxPollMs: 3_600_000,
    events: events as unknown as QueueEvents,
    onBytes: (fileId, progress) => bytes.push([fileId, progress]),
  })
  events.emit('progress', { jobId: `f-${A}-g1`, data: { bytes: 1, total: 2 } })
  events.emit('progress', { jobId: `f-${A}-g1`, data: 50 })
  events.emit('progress', { jobId: `f-${B}-g1`, data: { bytes: 1, total: 2 } })
  events.emit('completed', { jobId: `f-${B}-g1` })
  events.emit('completed', { jobId: '17' })
  events.emit('completed', { jobId: `f-${A}-g2` })
  await waiting
  expect(states.asked).toHaveLength(2)
  expect(bytes).toEqual([[A, { bytes: 1, total: 2 }]])
  expect(events.eventNames()).toEqual([])
})

/**
 * Waits for files that end in their order, some at each look of the database, and counts what was asked. The clock is
 * the number of looks, so the figures are the same on every machine.
 */
async function askedOf(n: number, o: { readonly events: boolean; readonly lost?: number }) {
  const ids = Array.from({ length: n }, () => randomUUID())
  const events = new EventEmitter()
  const ended = new Set<string>()
  let asked = 0
  let looks = 0
  const states: ReadStates = (fileIds) => {
    asked += fileIds.length
    looks += 1
    // Of the events every `lost`th does not come.
    for (const id of ids.slice(ended.size, ended.size + 500)) {
      ended.add(id)
      if (o.lost === undefined || ended.size % o.lost !== 0) events.emit('completed', { jobId: `f-${id}-g1` })
    }
    return Promise.resolve(
      fileIds.filter((id) => ended.has(id)).map((fileId) => ({ fileId, state: 'STORED' as const })),
    )
  }
  const options = { pollMs: 20, maxPollMs: 20 }
  const got = await waitForFiles(
    states,
    ids,
    o.events ? { ...options, events: events as unknown as QueueEvents } : options,
  )
  expect(got.size).toBe(n)
  return { asked, looks }
}

test.each([
  ['with events', { events: true }],
  ['with events of which some are lost', { events: true, lost: 7 }],
  ['without events', { events: false }],
])('%s, twice as many files take twice as many questions and not four times', async (_, o) => {
  const [once, twice] = [await askedOf(10_000, o), await askedOf(20_000, o)]
  expect(twice.asked / once.asked).toBeLessThan(3)
  expect(twice.looks / once.looks).toBeLessThan(3)
  expect(twice.asked / 20_000).toBeLessThan(8)
})

test('files that had all ended before are asked about once, without a pause', async () => {
  const ids = Array.from({ length: 25_500 }, () => randomUUID())
  const asked: string[] = []
  const states: ReadStates = (fileIds) => {
    asked.push(...fileIds)
    return Promise.resolve(fileIds.map((fileId) => ({ fileId, state: 'STORED' as const })))
  }
  const pauses = { pollMs: 3_600_000, maxPollMs: 3_600_000 }
  await waitForFiles(states, ids, pauses)
  expect(asked).toEqual(ids)
})

test('after an outage, files whose jobs ended meanwhile are asked about again', async () => {
  const events = new EventEmitter()
  const outage = Object.assign(new Error('gone'), { code: 'DB_UNAVAILABLE' })
  const states = answers([], outage, [{ fileId: A, state: 'STORED' }], [{ fileId: B, state: 'STORED' }])
  const waiting = waitForFiles(states, [A, B], {
    pollMs: 20,
    maxPollMs: 20,
    events: events as unknown as QueueEvents,
    onTrouble: () => events.emit('completed', { jobId: `f-${B}-g1` }),
  })
  events.emit('completed', { jobId: `f-${A}-g1` })
  expect((await waiting).size).toBe(2)
})

test('each end is told once, by whichever way it was found', async () => {
  const ends: string[] = []
  const states: ReadStates = (ids) => Promise.resolve(ids.map((fileId) => ({ fileId, state: 'STORED' })))
  await awaitFiles(states, new FileIds([A, B]), { onEnd: ({ fileId }) => ends.push(fileId) })
  expect(ends).toEqual([A, B])
})

test('over a real queue: bytes and the end come through', async () => {
  await using server = await startRedis()
  const records = new MemoryRecords()
  await using owned = await openIngestClient({
    redisUrl: server.url,
    prefix: '{sealfleet-test}',
    accept: (files) => records.accept(files),
  })
  const connection = createWorkerConnection(server.url)
  const events = new QueueEvents(owned.queue.name, { connection, prefix: '{sealfleet-test}' })
  await events.waitUntilReady()
  const { fileId = '' } = await owned.client.enqueue({ root: 'inbox', path: 'a' })
  const bytes: unknown[] = []
  const waiting = waitForFiles((ids) => records.states(ids), [fileId], {
    pollMs: 3_600_000,
    maxPollMs: 3_600_000,
    events,
    onBytes: (_, progress) => bytes.push(progress),
  })
  const worker = new Worker(
    owned.queue.name,
    async (job) => {
      await job.updateProgress({ bytes: 5, total: 10 })
      records.end(parseIngestJob(job.data).fileId, 'STORED')
    },
    { connection, prefix: '{sealfleet-test}' },
  )
  expect((await waiting).get(fileId)).toMatchObject({ state: 'STORED' })
  expect(bytes).toEqual([{ bytes: 5, total: 10 }])
  await worker.close()
  await events.close()
  connection.disconnect()
})
