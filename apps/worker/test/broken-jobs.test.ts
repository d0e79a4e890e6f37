import { ingestJobEntry, ingestJobFor, ingestJobId, QUEUES } from '@sealfleet/queue'
import { listDeadLetters } from '@sealfleet/records/files'
import { every, matrix, redisUrl } from '@sealfleet/testkit'
import { Redis } from 'ioredis'
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'

import type { RunningWorker } from '../src/run.js'
import { startFleet, type Fleet } from './fleet.js'

/** Jobs as no client of BullMQ writes them, put into Redis by hand beside a good one. */
let fleet: Fleet
let worker: RunningWorker
let redis: Redis
let prefix: string

beforeAll(async () => {
  fleet = await startFleet()
  prefix = String(fleet.env['SEALFLEET_QUEUE_PREFIX'])
  redis = new Redis(redisUrl())
  // Two seconds, so that what stalls is soon taken again.
  worker = await fleet.startWorker({
    env: { SEALFLEET_LEASE_SECONDS: '2', SEALFLEET_LEASE_RENEW_SECONDS: '1', SEALFLEET_REKEY_CONCURRENCY: '1' },
  })
})
afterAll(async () => {
  await worker?.stop()
  redis?.disconnect()
  await fleet?.[Symbol.asyncDispose]()
})

const key = (name: string, queue: string = QUEUES.ingest) => `${prefix}:${queue}:${name}`

/** A whole job's hash, as BullMQ keeps it. */
function whole(fileId: string): Record<string, string> {
  const job = ingestJobFor({ fileId, domain: 'default', root: 'in', path: fileId, context: Buffer.alloc(0) })
  const { name, data } = ingestJobEntry(job)
  return {
    name,
    data: JSON.stringify(data),
    opts: '{"attempts":3}',
    timestamp: String(Date.now()),
    delay: '0',
    priority: '0',
  }
}

type Place = 'wait' | 'active' | 'prioritized' | 'delayed'

async function put(jobId: string, hash: Record<string, string> | string | undefined, place: Place, queue?: string) {
  if (typeof hash === 'string') await redis.set(key(jobId, queue), hash)
  else if (hash !== undefined) await redis.hset(key(jobId, queue), hash)
  if (place === 'prioritized' || place === 'delayed') await redis.zadd(key(place, queue), 0, jobId)
  else await redis.lpush(key(place, queue), jobId)
  await redis.zadd(key('marker', queue), 0, '0')
}

async function places(jobId: string, queue?: string): Promise<string[]> {
  const found: string[] = []
  for (const list of ['wait', 'active', 'paused'])
    if ((await redis.lpos(key(list, queue), jobId)) !== null) found.push(list)
  for (const set of ['prioritized', 'delayed'])
    if ((await redis.zscore(key(set, queue), jobId)) !== null) found.push(set)
  return found
}

async function buried(jobId: string, queue?: string): Promise<void> {
  await vi.waitFor(
    async () => {
      const letters = (await listDeadLetters(fleet.records, { limit: 100 })).filter((one) => one.jobId === jobId)
      expect(letters).toMatchObject([{ code: 'PAYLOAD_INVALID', jobId, fileId: null }])
      expect(await places(jobId, queue)).toEqual([])
    },
    { timeout: 20_000, interval: 100 },
  )
}

const refusals = (jobId: string): number =>
  fleet.logs.filter((line) => line.includes('"job refused"') && line.includes(JSON.stringify(jobId))).length

type Change = (hash: Record<string, string>) => Record<string, string> | string | undefined
type Kind = readonly [string, Change, Place?]
const without = (hash: Record<string, string>, field: string) =>
  Object.fromEntries(Object.entries(hash).filter(([name]) => name !== field))

const KINDS: readonly Kind[] = [
  ['without its hash', () => undefined],
  ['without its hash, active as a worker left it', () => undefined, 'active'],
  ['whose data are missing', (hash) => without(hash, 'data')],
  ['whose data are not JSON', (hash) => ({ ...hash, data: '{"v":1,' })],
  ['whose data are a list', (hash) => ({ ...hash, data: '[]' })],
  ['whose data are null', (hash) => ({ ...hash, data: 'null' })],
  ['whose data are huge', (hash) => ({ ...hash, data: JSON.stringify({ v: 1, fileId: 'x'.repeat(1_000_000) }) })],
  ['whose data are not UTF-8', (hash) => ({ ...hash, data: '\u0000\ufffd' })],
  ['whose options are not JSON', (hash) => ({ ...hash, opts: 'attempts=3' })],
  ['whose options are null', (hash) => ({ ...hash, opts: 'null' })],
  [
    'whose options cannot be calculated with',
    (hash) => ({ ...hash, opts: '{"removeOnFail":{"age":"old"}}', data: '1' }),
  ],
  ['whose progress is not JSON', (hash) => ({ ...hash, progress: 'half' })],
  ['whose count of attempts is a word', (hash) => ({ ...hash, atm: 'some', data: '1' })],
  ['whose count of starts is a word', (hash) => ({ ...hash, ats: 'some' })],
  ['that names a schedule', (hash) => ({ ...hash, rjk: 'every:day' })],
  ['that names a parent', (hash) => ({ ...hash, parent: '{', parentKey: 'x:y:z' })],
  ['that is a string, waiting', () => 'a string'],
  ['that is a string, prioritized', () => 'a string', 'prioritized'],
  ['whose data are not JSON, prioritized', (hash) => ({ ...hash, data: '{' }), 'prioritized'],
  ['whose data are not JSON, delayed', (hash) => ({ ...hash, data: '{' }), 'delayed'],
  ['that is a string, delayed', () => 'a string', 'delayed'],
  ['whose data are not JSON, active as a worker left it', (hash) => ({ ...hash, data: '{' }), 'active'],
]

describe('a job', () => {
  matrix(KINDS, every(3))(
    '%s ends as a dead letter with its id, once, and others go on',
    async ([, change, place = 'wait']) => {
      const fileId = randomUUID()
      const jobId = ingestJobId(fileId, 1)
      await put(jobId, change(whole(fileId)), place)
      const good = randomUUID()
      await fleet.writeSource(good, 'a good file')
      await fleet.producer.client.enqueue({ id: good, root: 'in', path: good })
      await buried(jobId)
      expect([...(await fleet.settled([good])).values()]).toMatchObject([{ state: 'STORED' }])
      expect(refusals(jobId)).toBe(1)
    },
  )

  test.each(['a:b:c', ' ', 'wait', 'de:x', '../../x', 'f-'])(
    'of the id %j ends so, too, and the queue’s own keys stay',
    async (jobId) => {
      const meta = await redis.hget(key('meta'), 'version')
      if (jobId === 'wait') {
        await redis.lpush(key('wait'), jobId)
        await redis.zadd(key('marker'), 0, '0')
      } else await put(jobId, { ...whole(randomUUID()), data: '{' }, 'wait')
      const good = randomUUID()
      await fleet.writeSource(good, 'a good file')
      await fleet.producer.client.enqueue({ id: good, root: 'in', path: good })
      await buried(jobId)
      expect([...(await fleet.settled([good])).values()]).toMatchObject([{ state: 'STORED' }])
      expect(await redis.hget(key('meta'), 'version')).toBe(meta)
    },
  )

  /** Of the queue itself; with the hash of a job in it, as BullMQ would write one, where it can hold one. */
  test.each([
    ['meta', true],
    ['meta', false],
    ['completed', false],
    ['failed', false],
    ['delayed', false],
    ['id', false],
    ['events', false],
    ['stalled-check', false],
  ] as const)('of the id %j (with a hash: %j), one of the queue’s own keys, ends so, too', async (jobId, withHash) => {
    const meta = await redis.hgetall(key('meta'))
    if (withHash) await redis.hset(key(jobId), { ...whole(randomUUID()), data: '{' })
    await redis.lpush(key('wait'), jobId)
    await redis.zadd(key('marker'), 0, '0')
    const good = randomUUID()
    await fleet.writeSource(good, 'a good file')
    await fleet.producer.client.enqueue({ id: good, root: 'in', path: good })
    // A second one of that id finds its letter written.
    await buried(jobId)
    expect([...(await fleet.settled([good])).values()]).toMatchObject([{ state: 'STORED' }])
    expect(await redis.hgetall(key('meta'))).toEqual(meta)
    const types = Promise.all(['id', 'events', 'delayed'].map((name) => redis.type(key(name))))
    expect(await types).toEqual(['string', 'stream', expect.stringMatching(/none|zset/)])
  })

  test('delayed, whose key is no hash, takes no others with it', async () => {
    const files = await Promise.all(
      Array.from({ length: 3 }, async () => {
        const fileId = randomUUID()
        await fleet.writeSource(fileId, 'behind a broken job')
        return fileId
      }),
    )
    const broken = ingestJobId(randomUUID(), 1)
    // All due at once; BullMQ takes them in this order.
    const scores: readonly (readonly [number, string | undefined])[] = [
      [1, files[0]],
      [2, undefined],
      [3, files[1]],
      [4, files[2]],
    ]
    await redis.set(key(broken), 'a string')
    for (const fileId of files) await redis.hset(key(ingestJobId(fileId, 1)), whole(fileId))
    const multi = redis.multi()
    for (const [score, fileId] of scores)
      multi.zadd(key('delayed'), score, fileId === undefined ? broken : ingestJobId(fileId, 1))
    await multi.zadd(key('marker'), 0, '0').exec()
    await buried(broken)
    expect([...(await fleet.settled(files)).values()].map(({ state }) => state)).toEqual(files.map(() => 'STORED'))
  })

  test.each<[string, (hash: Record<string, string>) => Record<string, string> | string]>([
    ['whose data are not JSON', () => ({ name: 'rekey', data: '{', opts: '{}' })],
    ['whose data are another’s', () => ({ name: 'rekey', data: '{"v":2}', opts: '{}' })],
    ['that is a string', () => 'a string'],
  ])('of re-encryption %s ends so, too', async (...[, make]: Kind) => {
    const jobId = `r-${randomUUID()}-t1`
    await put(jobId, make({}), 'wait', QUEUES.rekey)
    await buried(jobId, QUEUES.rekey)
    expect(refusals(jobId)).toBe(1)
  })
})

test('a file whose job broke gets another from its record; what was left active goes when a worker starts', async () => {
  const fileId = randomUUID()
  await fleet.writeSource(fileId, 'its job will break')
  await worker.stop()
  await fleet.producer.client.enqueue({ id: fileId, root: 'in', path: fileId })
  await redis.hset(key(ingestJobId(fileId, 1)), 'data', '{')
  const left = ingestJobId(randomUUID(), 1)
  await put(left, 'a string', 'active')
  // What maintenance does with each open file.
  expect(await fleet.producer.client.enqueue({ id: fileId, root: 'in', path: fileId })).toMatchObject({
    outcome: 'requeued',
  })
  worker = await fleet.startWorker()
  expect([...(await fleet.settled([fileId])).values()]).toMatchObject([{ state: 'STORED' }])
  await buried(left)
})
