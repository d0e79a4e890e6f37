import { randomBytes, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { inspect } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { claimFile } from '../src/files/claim-file.js'
import { commitAttempt } from '../src/attempts/commit-attempt.js'
import { listDomains } from '../src/fleet/domains.js'
import { openAttempt } from '../src/attempts/open-attempt.js'
import { openRecords } from '../src/db/records.js'
import { RecordsError } from '../src/db/errors.js'
import { recordsError } from '../src/db/driver-error.js'
import { Prisma } from '../src/generated/client.js'
import { acceptFile, attempt, commitOf, openFixture, request, type Fixture } from './support.js'

let f: Fixture
beforeAll(async () => {
  f = await openFixture()
})
afterAll(async () => {
  await f[Symbol.asyncDispose]()
})

async function failure(work: Promise<unknown>): Promise<RecordsError> {
  const error: unknown = await work.then(
    () => undefined,
    (e: unknown) => e,
  )
  expect(error).toBeInstanceOf(RecordsError)
  return error as RecordsError
}

function withUrl(change: (url: URL) => void): string {
  const url = new URL(f.url)
  change(url)
  return url.href
}

describe('opening', () => {
  test('with a wrong password', async () => {
    const error = await failure(openRecords(withUrl((url) => (url.password = 'n0t-the-password'))))
    expect(error).toMatchObject({ code: 'DB_ACCESS_DENIED', sqlState: '28P01' })
    expect(inspect(error, { depth: 10 })).not.toContain('n0t-the-password')
  })

  test('as an unknown user', async () => {
    expect((await failure(openRecords(withUrl((url) => (url.username = 'nobody'))))).code).toBe('DB_ACCESS_DENIED')
  })

  test('a database that does not exist', async () => {
    const error = await failure(openRecords(withUrl((url) => (url.pathname = '/no_such_database'))))
    expect(error).toMatchObject({ code: 'DB_SCHEMA', sqlState: '3D000' })
    expect(error.fix).toContain('npm run migrate')
  })

  test('a server that is not there', async () => {
    const error = await failure(openRecords(withUrl((url) => (url.port = '1'))))
    expect(error.code).toBe('DB_UNAVAILABLE')
    expect(error.fix).toContain('SEALFLEET_DATABASE_URL')
  })

  test('a host that does not resolve', async () => {
    expect((await failure(openRecords('postgres://u:p@host.invalid/x'))).code).toBe('DB_UNAVAILABLE')
  })

  test('a server that accepts and says nothing', async () => {
    const silent = createServer().listen(0, '127.0.0.1')
    await once(silent, 'listening')
    const { port } = silent.address() as AddressInfo
    const url = withUrl((u) => (u.port = String(port)))
    expect((await failure(openRecords(url, { connectTimeoutMs: 100 }))).code).toBe('DB_UNAVAILABLE')
    silent.close()
  })

  test.each(['', 'not a url', 'http://127.0.0.1/x', 'postgres://h0st:s3cret@:x/y'])(
    'a URL that is none: %j',
    async (url) => {
      const error = await failure(openRecords(url))
      expect(error.code).toBe('DB_URL')
      expect(inspect(error, { depth: 10 })).not.toContain('s3cret')
    },
  )
})

describe('a statement', () => {
  test('that takes too long is ended by the server', async () => {
    await using records = await openRecords(f.url, { statementTimeoutMs: 1_000 })
    const error = await failure(records.query(Prisma.sql`SELECT 1 AS n FROM pg_sleep(30)`))
    expect(error).toMatchObject({ code: 'DB_UNAVAILABLE', sqlState: '57014' })
    expect(await listDomains(records)).toHaveLength(1)
  })

  test('that waits for a lock too long gives up, and so does a transaction', async () => {
    const job = request()
    await acceptFile(f.records, job)
    const holder = await f.sql.connect()
    await holder.query('BEGIN')
    await holder.query('SELECT 1 FROM files WHERE id = $1 FOR UPDATE', [job.fileId])
    await using records = await openRecords(f.url, { statementTimeoutMs: 1_000 })
    expect((await failure(claimFile(records, job))).code).toBe('DB_UNAVAILABLE')
    expect((await failure(records.transaction((tx) => claimFile(tx, job)))).code).toBe('DB_UNAVAILABLE')
    await holder.query('ROLLBACK')
    holder.release()
    expect((await claimFile(records, job)).outcome).toBe('claimed')
  })

  test('whose connection an administrator ends; the next one finds another connection', async () => {
    await using records = await openRecords(f.url, { applicationName: 'victim' })
    const sleeping = failure(records.query(Prisma.sql`SELECT 1 AS n FROM pg_sleep(30)`))
    for (let ended = 0; ended === 0;)
      ended = (
        await f.sql.query(
          `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'victim' AND query LIKE '%pg_sleep%'`,
        )
      ).rows.length
    expect((await sleeping).code).toBe('DB_UNAVAILABLE')
    expect(await listDomains(records)).toHaveLength(1)
  })

  test('after an administrator ended every idle connection', async () => {
    await using records = await openRecords(f.url, { applicationName: 'idle-victim' })
    await listDomains(records)
    await f.sql.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'idle-victim'`)
    // Either the pool has heard of it and opens another connection, or the statement is told; the one after that works.
    const first = await listDomains(records).catch((error: unknown) => error)
    if (first instanceof Error) expect(first).toMatchObject({ code: 'DB_UNAVAILABLE' })
    expect(await listDomains(records)).toHaveLength(1)
  })

  test('when every connection is busy does not wait forever', async () => {
    await using records = await openRecords(f.url, { poolSize: 1, connectTimeoutMs: 1_000, statementTimeoutMs: 6_000 })
    const busy = records.query(Prisma.sql`SELECT 1 AS n FROM pg_sleep(5)`)
    expect((await failure(listDomains(records))).code).toBe('DB_UNAVAILABLE')
    await busy
  })

  test('after close', async () => {
    const records = await openRecords(f.url)
    await records.close()
    await records.close()
    expect(await failure(listDomains(records))).toBeInstanceOf(RecordsError)
  })
})

describe('an error', () => {
  test('never repeats a nonce, nor anything else of the row', async () => {
    const job = request({ source: { root: 'in', path: 'a/private/path' } })
    await claimFile(f.records, job)
    const input = attempt(f, job, { nonceIdEnc: randomBytes(32) })
    const error = await failure(openAttempt(f.records, input))
    expect(error).toMatchObject({ code: 'INVALID', constraint: 'attempts_nonce_ids_true' })
    const shown = inspect(error, { depth: 10 }) + JSON.stringify(error)
    for (const secret of [input.nonceEnc!, input.nonceSig!, input.nonceIdEnc]) {
      expect(shown).not.toContain(Buffer.from(secret).toString('hex'))
      expect(shown).not.toContain(Buffer.from(secret).toString('base64'))
    }
    await openAttempt(f.records, attempt(f, job))
    const path = await failure(
      acceptFile(f.records, request({ source: { root: 'in', path: `s3cret${'x'.repeat(5000)}` } })),
    )
    expect(path).toMatchObject({ code: 'INVALID', constraint: 'files_source' })
    expect(inspect(path, { depth: 10 })).not.toContain('s3cret')
  })

  test('of a rule about states says BAD_STATE', async () => {
    const job = request()
    await claimFile(f.records, job)
    const input = attempt(f, job)
    await openAttempt(f.records, input)
    await commitAttempt(f.records, commitOf(input))
    const back = f.records.query(
      Prisma.sql`UPDATE files SET state = 'QUEUED' WHERE id = ${job.fileId}::uuid RETURNING id`,
    )
    expect(await failure(back)).toMatchObject({ code: 'BAD_STATE', constraint: 'files_transition' })
  })

  test('inside a transaction rolls back what went before', async () => {
    const good = request()
    await failure(
      f.records.transaction(async (tx) => {
        await acceptFile(tx, good)
        await acceptFile(tx, request({ domain: randomUUID() }))
      }),
    )
    expect((await acceptFile(f.records, good)).outcome).toBe('accepted')
  })

  test.each<[string, unknown, string]>([
    [
      'an errno deep in its causes',
      new Error('a', { cause: new Error('b', { cause: { code: 'ECONNRESET' } }) }),
      'DB_UNAVAILABLE',
    ],
    [
      'a happy-eyeballs AggregateError',
      new AggregateError([Object.assign(new Error('x'), { code: 'ECONNREFUSED' })]),
      'DB_UNAVAILABLE',
    ],
    ['pg’s words for a time-out', new Error('timeout exceeded when trying to connect'), 'DB_UNAVAILABLE'],
    ['pg’s words for its own time-out', new Error('Query read timeout'), 'DB_UNAVAILABLE'],
    ['a crash', { code: '57P02', severity: 'FATAL', message: 'crash' }, 'DB_UNAVAILABLE'],
    ['a full disk', { code: '53100', severity: 'ERROR', message: 'no space' }, 'DB_UNAVAILABLE'],
    ['a standby after a failover', { code: '25006', severity: 'ERROR', message: 'read-only' }, 'DB_UNAVAILABLE'],
    ['a deadlock', { code: '40P01', severity: 'ERROR', message: 'deadlock' }, 'DB_UNAVAILABLE'],
    ['missing rights', { code: '42501', severity: 'ERROR', message: 'permission denied' }, 'DB_ACCESS_DENIED'],
    ['a missing column', { code: '42703', severity: 'ERROR', message: 'column' }, 'DB_SCHEMA'],
    ['a bug', { code: 'XX000', severity: 'ERROR', message: 'internal' }, 'DB_ERROR'],
    ['a circle of causes', circle(), 'DB_ERROR'],
    ['nothing at all', undefined, 'DB_ERROR'],
  ])('%s', (_, error, code) => {
    expect(recordsError(error).code).toBe(code)
  })
})

describe('a right that is missing is named', () => {
  const denied = (object: string) => ({
    code: '42501',
    severity: 'ERROR',
    message: `permission denied for ${object}`,
  })
  test.each([
    ['table audit_log', 'INSERT INTO audit_log (actor) VALUES ($1)', 'INSERT on table audit_log'],
    ['table files', 'WITH f AS (UPDATE files SET state = $1) INSERT INTO audit_log SELECT 1', 'UPDATE on table files'],
    ['table hsm_latches', 'DELETE FROM hsm_latches WHERE pin_id = $1', 'DELETE on table hsm_latches'],
    ['table requests', 'SELECT 1 FROM requests WHERE id = $1 FOR UPDATE', 'UPDATE on table requests'],
    ['table operators', 'SELECT 1 FROM operators o FOR SHARE OF o', 'UPDATE on table operators'],
    ['table files', 'SELECT 1 FROM files', 'SELECT on table files'],
    ['table files', undefined, 'use on table files'],
    ['schema public', 'SELECT 1 FROM files', 'use on schema public'],
  ])('%s, by %s', (object, sql, what) => {
    const error = recordsError(denied(object), sql)
    expect(error).toMatchObject({ code: 'DB_ACCESS_DENIED', sqlState: '42501', fix: expect.any(String) as string })
    expect(error.message).toBe(`the user in SEALFLEET_DATABASE_URL lacks a right: ${what}`)
  })
})

function circle(): Error {
  const one = new Error('one')
  const two = new Error('two', { cause: one })
  one.cause = two
  return one
}
