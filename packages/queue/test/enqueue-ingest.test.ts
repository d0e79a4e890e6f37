import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { batchProgress } from '@sealfleet/records/files'
import { outboxDepth } from '@sealfleet/records/upkeep'
import fc from 'fast-check'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { batchIdFor, enqueueIngest, type PgTransaction, type PrismaTransaction } from '../src/client/enqueue-ingest.js'
import { fileIdFor, ingestJobId } from '../src/ingest/ids.js'
import { parseIngestJob } from '../src/ingest/parse.js'
import { fingerprintOf } from '../src/ingest/request.js'
import { ingestJobV1Schema } from '../src/ingest/schema.js'
import type { IngestRequest } from '../src/client/terms.js'
import { openOutboxHouse, type OutboxHouse } from './outbox-house.js'

let house: OutboxHouse
let client: pg.Client
beforeAll(async () => {
  house = await openOutboxHouse()
  await house.sql.query('CREATE TABLE invoices (no int PRIMARY KEY)')
  client = new pg.Client({ connectionString: house.url })
  await client.connect()
})
afterAll(async () => {
  await client.end()
  await house[Symbol.asyncDispose]()
})
beforeEach(() => client.query('BEGIN'))
afterEach(async () => {
  await client.query('ROLLBACK')
  await house.drain()
  await house.ingest.queue.obliterate({ force: true })
})

const request = (path: string = randomUUID(), more: Partial<IngestRequest> = {}): IngestRequest => ({
  root: 'inbox',
  path,
  ...more,
})

async function count(table: string): Promise<number> {
  const { rows } = await house.sql.query<{ n: number }>(`SELECT count(*)::int AS n FROM ${table}`)
  return rows[0]?.n ?? -1
}

/** Runs `work` in a transaction of each kind; an error rolls back. */
const transactions: [
  string,
  (work: (tx: PgTransaction | PrismaTransaction) => Promise<unknown>) => Promise<unknown>,
][] = [
  [
    'node-postgres',
    async (work) => {
      const result = await work(client)
      await client.query('COMMIT')
      return result
    },
  ],
  ['Prisma', (work) => house.prisma.$transaction((tx) => work(tx))],
]

describe.each(transactions)('in a transaction of %s', (_, transaction) => {
  test('a commit brings row and job together with the producer’s own, and the job comes once', async () => {
    const id = `invoice ${randomUUID()}`
    const context = Buffer.from('customer 42')
    const result = await transaction((tx) => enqueueIngest(tx, request('2026/a.pdf', { id, context })))
    const fileId = fileIdFor(id)
    expect(result).toMatchObject({ outcome: 'queued', fileId, jobId: ingestJobId(fileId, 1), request: { id } })
    expect((await house.jobs()).size).toBe(0)
    expect(await house.relay(10)).toBe(1)
    expect(await house.relay(10)).toBe(0)
    const job = parseIngestJob((await house.ingest.queue.getJob(ingestJobId(fileId, 1)))?.data)
    expect(job).toMatchObject({ fileId, source: { root: 'inbox', path: '2026/a.pdf' }, domain: 'default' })
    // The direct client takes it for the same request.
    const again = await house.ingest.client.enqueue(request('2026/a.pdf', { id, context }))
    expect(again).toMatchObject({ outcome: 'already-queued', fileId })
  })

  test('a rollback leaves nothing anywhere', async () => {
    const before = [await count('files'), await count('outbox'), await count('batches')]
    const rolledBack = transaction(async (tx) => {
      const results = await enqueueIngest(tx, [request(), request()], { batch: { name: randomUUID(), expected: 2 } })
      expect(results.map(({ outcome }) => outcome)).toEqual(['queued', 'queued'])
      throw new Error('the producer thinks better of it')
    })
    await expect(rolledBack).rejects.toThrow()
    await client.query('ROLLBACK')
    expect([await count('files'), await count('outbox'), await count('batches')]).toEqual(before)
    expect(await house.relay(10)).toBe(0)
    expect((await house.jobs()).size).toBe(0)
  })

  test('many: one bad one doesn’t stop the others; results are in order and in the client’s terms', async () => {
    const id = randomUUID()
    const results = await transaction((tx) =>
      enqueueIngest(tx, [
        request('../../etc/passwd'),
        request('a', { id }),
        request('b', { id }),
        request('a', { id }),
        request(),
        request('d', { context: Buffer.alloc(1_025) }),
      ]),
    )
    expect(results).toMatchObject([
      { outcome: 'invalid', error: { code: 'PAYLOAD_INVALID' } },
      { outcome: 'queued', fileId: id },
      { outcome: 'conflict', fileId: id, error: { code: 'REQUEST_CONFLICT' } },
      { outcome: 'already-queued', fileId: id },
      { outcome: 'queued' },
      { outcome: 'invalid' },
    ])
    await house.drain()
    expect((await house.jobs()).size).toBe(2)
  })
})

test('it is the producer’s transaction: both rows or none', async () => {
  await client.query('INSERT INTO invoices VALUES (17)')
  const { fileId } = await enqueueIngest(client, request())
  await expect(client.query('INSERT INTO invoices VALUES (17)')).rejects.toMatchObject({ code: '23505' })
  await client.query('ROLLBACK')
  expect(await house.states([String(fileId)])).toEqual([])
})

test.each([
  ['a path out of the root', request('../a'), 'PAYLOAD_INVALID'],
  ['an absolute path', request('/a'), 'PAYLOAD_INVALID'],
  ['a NUL', request('a\0b'), 'PAYLOAD_INVALID'],
  ['half a surrogate pair', request('a\ud800'), 'PAYLOAD_INVALID'],
  ['an empty id', request('a', { id: '' }), 'PAYLOAD_INVALID'],
])('a single request with %s throws, and the transaction goes on', async (_, bad, code) => {
  await expect(enqueueIngest(client, bad)).rejects.toMatchObject({ code })
  expect((await enqueueIngest(client, request())).outcome).toBe('queued')
})

test('a single conflict throws, and the transaction goes on', async () => {
  const id = randomUUID()
  await enqueueIngest(client, request('a', { id }))
  await expect(enqueueIngest(client, request('b', { id }))).rejects.toMatchObject({ code: 'REQUEST_CONFLICT' })
  expect((await enqueueIngest(client, request('a', { id }))).outcome).toBe('already-queued')
})

test.each([
  ['STORED', 'stored'],
  ['DEAD', 'dead'],
  ['DISCARDED', 'discarded'],
] as const)('a file that is %s is told as such, and gets no job', async (state, outcome) => {
  const asked = request()
  const { fileId } = await enqueueIngest(client, asked)
  if (state === 'STORED') await client.query(`SET LOCAL session_replication_role = replica`)
  await client.query('ALTER TABLE files DROP CONSTRAINT files_stored_names_attempt')
  await client.query('UPDATE files SET state = $2 WHERE id = $1', [fileId, state])
  expect(await enqueueIngest(client, asked)).toEqual({ request: asked, fileId, outcome })
})

test('a job that Redis lost comes back by asking again', async () => {
  const asked = request()
  const { fileId = '' } = await enqueueIngest(client, asked)
  await client.query('COMMIT')
  await house.drain()
  await house.ingest.queue.obliterate({ force: true })
  expect((await enqueueIngest(client, asked)).outcome).toBe('already-queued')
  await house.drain()
  expect([...(await house.jobs()).keys()]).toEqual([fileId])
})

test('what is no transaction is refused, and a batch of another shape: before anything is asked', async () => {
  await expect(enqueueIngest(house.sql, request())).rejects.toThrow(/take a client/)
  await expect(enqueueIngest(house.prisma, request())).rejects.toThrow(/what \$transaction hands over/)
  await expect(enqueueIngest(client, request(), { batchId: 'nightly' })).rejects.toMatchObject({
    code: 'PAYLOAD_INVALID',
  })
})

test('two producers with the same files in opposite orders don’t deadlock', async () => {
  const requests = Array.from({ length: 2_500 }, () => request())
  const other = await house.sql.connect()
  await other.query('BEGIN')
  const both = [client, other].map(async (tx, i) => {
    const results = await enqueueIngest(tx, i === 0 ? requests : [...requests].reverse())
    await tx.query('COMMIT')
    return results.filter(({ outcome }) => outcome === 'queued').length
  })
  const fresh = await Promise.all(both)
  other.release()
  expect(fresh.sort()).toEqual([0, 2_500])
})

describe('ten thousand files are one batch with exact progress', () => {
  const requests = Array.from({ length: 10_000 }, (_, n) => request(`many/${n}.bin`))
  const progressOf = (name: string) => batchProgress(house.records, batchIdFor(name))
  const whole = { accepted: 10_000, finished: 0, byState: { QUEUED: 10_000 }, batch: { expected: 10_000 } }

  test('in a producer’s transaction', async () => {
    const name = randomUUID().replaceAll('-', '')
    const results = await enqueueIngest(client, requests, { batch: { name, expected: 10_000 } })
    expect(results.every(({ outcome }, n) => outcome === 'queued' && results[n]?.request === requests[n])).toBe(true)
    expect(await progressOf(name)).toBeUndefined()
    await client.query('COMMIT')
    expect(await progressOf(name)).toMatchObject({ ...whole, batch: { name, expected: 10_000 } })
    expect(await outboxDepth(house.records)).toMatchObject({ waiting: 10_000 })
    await Promise.all([house.drain(), house.drain()])
    expect(await outboxDepth(house.records)).toMatchObject({ waiting: 0 })
    expect(new Set((await house.jobs()).keys())).toEqual(new Set(results.map(({ fileId }) => fileId)))
    expect(await house.ingest.queue.getWaitingCount()).toBe(10_000)
    const again = await enqueueIngest(client, requests, { batch: { name } })
    expect(new Set(again.map(({ outcome }) => outcome))).toEqual(new Set(['already-queued']))
    await client.query('COMMIT')
    await house.drain()
    expect(await house.ingest.queue.getWaitingCount()).toBe(10_000)
    expect(await progressOf(name)).toMatchObject(whole)
  })

  test('by the direct client', async () => {
    const batchId = randomUUID()
    await client.query('SELECT sealfleet_batch($1, NULL, 10000)', [batchId])
    await client.query('COMMIT')
    const others = requests.map(({ root, path }) => ({ root, path: `direct/${path}` }))
    const done: number[] = []
    const results = await house.ingest.client.enqueueMany(others, { batchId, onProgress: (n) => done.push(n) })
    expect(results.filter(({ outcome }) => outcome === 'queued')).toHaveLength(10_000)
    expect(done.at(-1)).toBe(10_000)
    expect(await house.ingest.queue.getWaitingCount()).toBe(10_000)
    expect(await batchProgress(house.records, batchId)).toMatchObject(whole)
  })
})

test('the documented SQL works as it stands', async () => {
  const page = readFileSync(new URL('../../../docs/reference/sql.md', import.meta.url), 'utf8')
  const sql = /```sql\n([\s\S]*?)```/
    .exec(page)?.[1]
    ?.replace('INSERT INTO invoices …', 'INSERT INTO invoices VALUES (42)')
  const answers = (await client.query(sql ?? '')) as unknown as pg.QueryResult[]
  expect(answers.map(({ command, rows }) => [command, rows])).toEqual([
    ['BEGIN', []],
    ['INSERT', []],
    ['SELECT', [{ sealfleet_batch: '0f8fad5b-d9cb-469f-a165-70867728950e' }]],
    ['SELECT', [{ file_id: fileIdFor('invoice 2026/17'), outcome: 'accepted', state: 'QUEUED', generation: 1 }]],
    ['COMMIT', []],
  ])
})

test('the database and the schema agree on what is valid, and on the fingerprint', async () => {
  const piece = fc.oneof(
    fc.constantFrom('.', '..', '', 'a', '...', '.a', 'a.', '\n', '\\', ' '),
    fc.string({ unit: 'binary' }),
  )
  const path = fc.array(piece, { minLength: 0, maxLength: 4 }).map((parts) => parts.join('/'))
  const context = fc.oneof(
    fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes).toString('base64url')),
    fc.string({ maxLength: 6 }),
  )
  const id = fc.oneof(fc.uuid(), fc.constantFrom('00000000-0000-0000-0000-000000000000', 'x', 'DEFAULT'))
  const job = fc.record({
    v: fc.constantFrom(1, 1, 1, 2),
    fileId: fc.oneof({ weight: 5, arbitrary: fc.uuid() }, { weight: 1, arbitrary: id }),
    domain: fc.oneof({ weight: 5, arbitrary: fc.constant('default') }, { weight: 1, arbitrary: id }),
    source: fc.record({ root: fc.oneof(fc.constant('in'), fc.string({ maxLength: 3 })), path }),
    context,
    generation: fc.constant(1),
  })
  // What PostgreSQL has no text for cannot be asked.
  const sayable = (one: unknown): boolean => !/\\u0000|\\ud[89a-f]/.test(JSON.stringify(one))
  const jobs = fc.sample(job, { numRuns: 4_000, seed: 20_261_124 }).filter(sayable)
  const { rows } = await client.query<{ fault: string | null }>(
    'SELECT sealfleet_enqueue_fault(r) AS fault FROM jsonb_array_elements($1::jsonb) WITH ORDINALITY AS x (r, o) ORDER BY o',
    [JSON.stringify(jobs)],
  )
  const differing = jobs.filter((one, n) => ingestJobV1Schema.safeParse(one).success !== (rows[n]?.fault === null))
  expect(differing).toEqual([])
  const valid = [...new Map(jobs.map((one) => [one.fileId, one])).values()].filter(
    (one) => one.domain === 'default' && ingestJobV1Schema.safeParse(one).success,
  )
  expect(valid.length).toBeGreaterThan(100)
  await client.query('SELECT * FROM sealfleet_enqueue($1::jsonb)', [JSON.stringify(valid)])
  const { rows: files } = await client.query<{ id: string; fingerprint: Buffer; path: string; context: Buffer }>(
    'SELECT id, fingerprint, source_path AS path, context FROM files WHERE id = ANY ($1)',
    [valid.map(({ fileId }) => fileId)],
  )
  const byId = new Map(files.map((file) => [file.id, file]))
  for (const one of valid) {
    const file = byId.get(one.fileId)
    expect(file?.fingerprint.toString('hex')).toBe(fingerprintOf(parseIngestJob(one)).toString('hex'))
    expect(file?.path).toBe(one.source.path)
    expect(file?.context.toString('base64url')).toBe(one.context)
  }
})
