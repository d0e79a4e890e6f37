import { PrismaPg } from '@prisma/adapter-pg'
import { openRecords, type Records } from '@sealfleet/records'
import { ensureDomain } from '@sealfleet/records/fleet'
import { fileIdFor, type IngestJobV1 } from '@sealfleet/queue'
import { freshDatabase, freshPrefix, redisUrl, type FreshDatabase } from '@sealfleet/testkit'
import { Queue } from 'bullmq'
import { Redis } from 'ioredis'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { PrismaClient } from '../../records/dist/generated/client.js'
import { openDirectClient, SealfleetError, type EnqueueAnswer, type NewFile } from '../src/direct.js'

const DOMAIN = '0190b3c0-0000-7000-8000-00000000d0d0'

let database: FreshDatabase
let records: Records
let sql: pg.Pool
let redis: Redis
beforeAll(async () => {
  database = await freshDatabase()
  records = await openRecords(database.url)
  await ensureDomain(records, { id: 'default' })
  await ensureDomain(records, { id: DOMAIN, name: 'invoices' })
  sql = new pg.Pool({ connectionString: database.url, max: 4 })
  // The database is dropped by force while connections may still be closing.
  sql.on('error', () => undefined)
  sql.on('connect', (client) => client.on('error', () => undefined))
  redis = new Redis(redisUrl(), { maxRetriesPerRequest: null })
})
afterAll(async () => {
  redis.disconnect()
  await sql.end()
  await records.close()
  await database[Symbol.asyncDispose]()
})

async function opened() {
  const prefix = freshPrefix()
  const client = await openDirectClient({ databaseUrl: database.url, redisUrl: redisUrl(), prefix })
  const queue = new Queue<IngestJobV1>('ingest', { connection: redis, prefix })
  const close = async (): Promise<void> => {
    await queue.obliterate({ force: true })
    await queue.close()
    await client.close()
  }
  return { client, queue, prefix, [Symbol.asyncDispose]: close }
}

async function rowOf(fileId: string) {
  const { rows } = await sql.query<{ domain_id: string; source_path: string; state: string; batch_id: string | null }>(
    'SELECT domain_id, source_path, state, batch_id FROM files WHERE id = $1',
    [fileId],
  )
  return rows[0]
}

async function all(answers: AsyncIterable<EnqueueAnswer>): Promise<readonly EnqueueAnswer[]> {
  const seen = []
  for await (const answer of answers) seen.push(answer)
  return seen
}

const codeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'nothing',
    (error: unknown) => (error instanceof SealfleetError ? error.code : String(error)),
  )

test('a file is accepted and has its job; asking again makes no second one', async () => {
  await using fleet = await opened()
  const file = { root: 'inbox', path: 'a/1.pdf', id: 'direct 1', context: Buffer.from('customer 42') }
  const first = await fleet.client.enqueue(file)
  expect(first).toMatchObject({ index: 0, outcome: 'queued', fileId: fileIdFor('direct 1') })
  expect(await fleet.client.enqueue(file)).toMatchObject({ outcome: 'already-queued' })
  const jobs = await fleet.queue.getWaiting()
  expect(jobs.map(({ id }) => id)).toEqual([first.jobId])
  const { rows } = await sql.query<{ id: string }>('SELECT id::text AS id FROM fleet')
  expect(jobs[0]?.data).toMatchObject({ fileId: first.fileId, context: 'Y3VzdG9tZXIgNDI', fleet: rows[0]?.id })
  // A job that Redis lost comes back.
  await fleet.queue.obliterate({ force: true })
  expect(await fleet.client.enqueue(file)).toMatchObject({ outcome: 'requeued' })
  expect(await codeOf(fleet.client.enqueue({ ...file, path: 'another' }))).toBe('REQUEST_CONFLICT')
  expect(await codeOf(fleet.client.enqueue({ root: 'inbox', path: '/absolute' }))).toBe('PAYLOAD_INVALID')
})

test.each([
  ['its name', 'invoices'],
  ['its id', DOMAIN],
  ['its id in capitals', DOMAIN.toUpperCase()],
])('a key domain is given by %s', async (_, domain) => {
  await using fleet = await opened()
  const { fileId } = await fleet.client.enqueue({ root: 'inbox', path: `domain/${domain}`, domain })
  expect(await rowOf(fileId)).toMatchObject({ domain_id: DOMAIN })
  expect(await fleet.client.get(fileId)).toMatchObject({ domain: 'invoices' })
})

test('bad files stop no other: each has its own answer, in order', async () => {
  await using fleet = await opened()
  const path = 'mixed/ok'
  const files: NewFile[] = [
    { root: 'inbox', path },
    { root: 'inbox', path: 'mixed/named', domain: 'no-such-domain' },
    { root: 'inbox', path: 'mixed/by-id', domain: '0190b3c0-0000-7000-8000-00000000dead' },
    { root: 'Inbox', path: 'mixed/root' },
    { root: 'inbox', path: 'mixed/invoice', domain: 'invoices' },
    { root: 'inbox', path },
  ]
  const answers = await all(fleet.client.enqueueMany(files))
  expect(answers.map(({ index, outcome, error }) => [index, outcome, error?.code])).toEqual([
    [0, 'queued', undefined],
    [1, 'invalid', 'NOT_FOUND'],
    [2, 'invalid', 'NOT_FOUND'],
    [3, 'invalid', 'PAYLOAD_INVALID'],
    [4, 'queued', undefined],
    [5, 'already-queued', undefined],
  ])
  expect(await fleet.queue.getWaitingCount()).toBe(2)
  expect(await codeOf(fleet.client.enqueue({ root: 'inbox', path, domain: 'no-such-domain' }))).toBe('NOT_FOUND')
})

test.each([
  ['with Redis', true],
  ['without', false],
])('a stream is read chunk by chunk, as far as its answers are taken (%s)', async (name, withRedis) => {
  await using fleet = await opened()
  await using bare = await openDirectClient({ databaseUrl: database.url })
  const client = withRedis ? fleet.client : bare
  let read = 0
  function* files(): Generator<NewFile> {
    for (;;) yield { root: 'inbox', path: `stream ${name}/${read++}`, domain: 'invoices' }
  }
  const answers = client.enqueueMany(files(), { chunkSize: 10, batch: `stream ${name}` })
  expect(read).toBe(0)
  for (let i = 0; i < 25; i++) expect((await answers.next()).value).toMatchObject({ index: i, outcome: 'queued' })
  await answers.return()
  // The chunk that is taken, the one that is accepted meanwhile, and the next one of the source.
  expect(read).toBeLessThanOrEqual(60)
  const { rows } = await sql.query<{ name: string; files: number }>(
    `SELECT b.name, count(*)::int AS files FROM files f JOIN batches b ON b.id = f.batch_id
     WHERE f.source_path LIKE $1 GROUP BY 1`,
    [`stream ${name}/%`],
  )
  expect(rows).toHaveLength(1)
  expect(rows[0]?.files).toBeGreaterThanOrEqual(30)
})

test('without Redis the files wait in the outbox, from which maintenance takes them', async () => {
  await using client = await openDirectClient({ databaseUrl: database.url })
  const { fileId } = await client.enqueue({ root: 'inbox', path: 'outbox' })
  const { rows } = await sql.query('SELECT relayed_at FROM outbox WHERE file_id = $1', [fileId])
  expect(rows).toEqual([{ relayed_at: null }])
})

test('in a transaction of the caller: accepted by its commit, and nothing after a rollback', async () => {
  await using client = await openDirectClient({ pool: sql })
  const tx = await sql.connect()
  try {
    await tx.query('BEGIN')
    const gone = await client.enqueueIn(tx, { root: 'inbox', path: 'rolled back', domain: 'invoices' })
    await tx.query('ROLLBACK')
    expect(await rowOf(gone.fileId)).toBeUndefined()

    await tx.query('BEGIN')
    const files = [
      { root: 'inbox', path: 'kept', domain: 'invoices' },
      { root: 'inbox', path: 'kept', domain: 'nothing' },
    ]
    const answers = await client.enqueueIn(tx, files, { batch: { name: 'of one transaction', expected: 2 } })
    expect(await codeOf(client.enqueueIn(tx, { root: 'inbox', path: '..' }))).toBe('PAYLOAD_INVALID')
    expect(await rowOf(answers[0]?.fileId ?? '')).toBeUndefined()
    await tx.query('COMMIT')
    expect(answers.map(({ outcome }) => outcome)).toEqual(['queued', 'invalid'])
    expect(await rowOf(answers[0]?.fileId ?? '')).toMatchObject({ domain_id: DOMAIN, source_path: 'kept' })
  } finally {
    tx.release()
  }
  await expect(client.enqueueIn(sql as never, { root: 'inbox', path: 'pool' })).rejects.toThrow(TypeError)
})

test('in a transaction of Prisma', async () => {
  const adapter = new PrismaPg({ connectionString: database.url }, { onConnectionError: () => undefined })
  const prisma = new PrismaClient({ adapter })
  try {
    await using client = await openDirectClient({ pool: sql })
    const file = { root: 'inbox', path: 'prisma', domain: 'invoices' }
    const { fileId } = await prisma.$transaction((tx) => client.enqueueIn(tx, file, { batch: 'of Prisma' }))
    expect(await rowOf(fileId)).toMatchObject({ domain_id: DOMAIN })
    await expect(client.enqueueIn(prisma as never, file)).rejects.toThrow(TypeError)
  } finally {
    await prisma.$disconnect()
  }
})

test('what is known of a file, and how it ended', async () => {
  await using client = await openDirectClient({ databaseUrl: database.url })
  const { fileId } = await client.enqueue({ root: 'inbox', path: 'ends', id: 'ends 1' })
  expect(await client.get('ends 1')).toEqual({
    fileId,
    state: 'QUEUED',
    domain: 'default',
    root: 'inbox',
    path: 'ends',
    batchId: null,
    acceptedAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/) as string,
    storedAt: null,
    deletedAt: null,
    length: null,
    attempts: 0,
    lastFailure: null,
  })
  expect(await client.get('unknown')).toBeUndefined()
  await expect(client.wait(fileId, { pollMs: 5, signal: AbortSignal.timeout(50) })).rejects.toMatchObject({
    name: 'TimeoutError',
  })
  const waiting = client.wait('ends 1', { pollMs: 20, signal: AbortSignal.timeout(60_000) })
  await sql.query(`UPDATE files SET state = 'DISCARDED' WHERE id = $1`, [fileId])
  expect(await waiting).toEqual({ fileId, state: 'DISCARDED' })
})

test('what cannot work is refused with a code and an advice', async () => {
  const refusal = async (options: Parameters<typeof openDirectClient>[0]) => {
    const error: unknown = await openDirectClient(options).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(SealfleetError)
    const { code, fix, retryable } = error as SealfleetError
    expect(fix).toMatch(/\w/)
    return { code, retryable }
  }
  const databaseUrl = database.url
  const once = { code: 'CONFIG_INVALID', retryable: false }
  expect(await refusal({ databaseUrl: 'postgres://u:p@db.example/x' })).toEqual(once)
  expect(await refusal({ databaseUrl: 'postgres://u:p@db.example/x?sslmode=no-verify' })).toEqual(once)
  expect(await refusal({ databaseUrl: 'mysql://localhost' })).toEqual(once)
  expect(await refusal({ databaseUrl, redisUrl: 'redis://redis.example' })).toEqual(once)
  const away = { code: 'DB_UNAVAILABLE', retryable: true }
  expect(await refusal({ databaseUrl: 'postgres://127.0.0.1:9/none' })).toEqual(away)
  const gone = { code: 'REDIS_UNAVAILABLE', retryable: true }
  expect(await refusal({ databaseUrl, redisUrl: 'redis://127.0.0.1:9' })).toEqual(gone)
  const prefix = freshPrefix()
  await redis.set(`${prefix}:fleet`, '0190b3c0-0000-7000-8000-0000000000ff')
  expect(await refusal({ databaseUrl, redisUrl: redisUrl(), prefix })).toMatchObject({ code: 'FLEET_MISMATCH' })
  await redis.del(`${prefix}:fleet`)
})

test('the documented rights suffice', async () => {
  const { readFile } = await import('node:fs/promises')
  const readme = await readFile(new URL('../README.md', import.meta.url), 'utf8')
  const [, grants = ''] = /```sql\n([^]*?)```/.exec(readme) ?? []
  const role = `producer_${freshPrefix().replace(/\W/g, '')}`
  await sql.query(`CREATE ROLE ${role} LOGIN PASSWORD 'p'`)
  try {
    await sql.query(grants.replaceAll('TO producer', `TO ${role}`))
    const url = new URL(database.url)
    url.username = role
    url.password = 'p'
    await using client = await openDirectClient({ databaseUrl: url.href })
    const { fileId } = await client.enqueue(
      { root: 'inbox', path: 'by a producer', domain: 'invoices' },
      { batch: 'by a producer' },
    )
    expect(await client.get(fileId)).toMatchObject({ state: 'QUEUED' })
    await sql.query(`UPDATE files SET state = 'DISCARDED' WHERE id = $1`, [fileId])
    expect((await client.wait(fileId)).state).toBe('DISCARDED')
  } finally {
    await sql.query(`DROP OWNED BY ${role}`)
    await sql.query(`DROP ROLE ${role}`)
  }
})
