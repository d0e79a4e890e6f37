import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { freshDatabase, startPgbouncer, tempDir, type FreshDatabase, type Pgbouncer } from '@sealfleet/testkit'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Prisma } from '../src/generated/client.js'
import { listDomains } from '../src/fleet/domains.js'
import { migrate } from '../src/migrate/migrate.js'
import { openRecords, type Records } from '../src/db/records.js'
import { sessionReport } from '../src/upkeep/session-report.js'

const closers: (() => Promise<unknown>)[] = []
afterAll(async () => {
  for (const close of closers.reverse()) await close()
})

async function keep<T extends AsyncDisposable>(made: Promise<T>): Promise<T> {
  const thing = await made
  closers.push(async () => thing[Symbol.asyncDispose]())
  return thing
}

const withParameters = (url: string, query: string): string => `${url}?${query}`

describe('behind a pooler in transaction mode', () => {
  let database: FreshDatabase
  let pooler: Pgbouncer
  let sql: pg.Pool
  beforeAll(async () => {
    database = await keep(freshDatabase({ schema: 'empty' }))
    pooler = await keep(startPgbouncer({ url: database.url }))
    sql = new pg.Pool({ connectionString: database.url, max: 1 })
    sql.on('error', () => undefined)
    closers.push(() => sql.end())
  })

  /** Defaults hold for new sessions, and the pooler keeps old ones. */
  async function endSessions(): Promise<void> {
    await sql.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()`,
      [database.name],
    )
  }

  test('a refused start-up parameter is told as what it is, with what to write', async () => {
    for (const attempt of [openRecords(pooler.url), migrate(pooler.url)])
      await expect(attempt).rejects.toMatchObject({
        code: 'DB_URL',
        message: expect.stringMatching(/pgbouncer.* refuses the start-up parameter \w+/) as unknown,
        fix: expect.stringContaining('pgbouncer=true') as unknown,
      })
  })

  test('migrate works, several at once, and leaves no lock behind', async () => {
    const url = withParameters(pooler.url, 'pgbouncer=true')
    const runs = await Promise.all([migrate(url), migrate(url), migrate(url)])
    expect(runs.flatMap((run) => run.applied).length).toBeGreaterThan(1)
    expect(new Set(runs.flatMap((run) => run.applied)).size).toBe(runs.flatMap((run) => run.applied).length)
    const { rows } = await sql.query(`SELECT pid FROM pg_locks WHERE locktype = 'advisory'
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`)
    expect(rows).toEqual([])
    // Nothing of ours stays on the server's session, which the next client gets.
    const next = new pg.Client({ connectionString: pooler.url })
    await next.connect()
    const left = await next.query(
      `SELECT current_setting('lock_timeout') AS lock, current_setting('search_path') AS path`,
    )
    expect(left.rows).toEqual([{ lock: '0', path: '"$user", public' }])
    await next.end()
  })

  test('records, transactions and many statements at once work', async () => {
    await using records = await openRecords(withParameters(pooler.url, 'pgbouncer=true'), { poolSize: 6 })
    const at = new Date('2026-11-30T10:00:00.123Z')
    const one = (n: number): Promise<unknown> =>
      records.transaction(async (tx) => {
        await tx.query(Prisma.sql`SELECT set_config('idle_in_transaction_session_timeout', '5000', TRUE)`)
        return (await tx.query(Prisma.sql`SELECT ${at}::timestamptz AS at, ${n}::int AS n`))[0]
      })
    const answers = await Promise.all(Array.from({ length: 20 }, (_, n) => one(n)))
    expect(answers).toEqual(answers.map((_, n) => ({ at, n })))
    expect(await listDomains(records)).toEqual([])
    const { settings, concerns } = await sessionReport(records)
    expect(settings).toMatchObject({ TimeZone: 'UTC', DateStyle: 'ISO, MDY' })
    expect(concerns.map(({ text }) => text)).toEqual([expect.stringContaining('statement_timeout')])
  })

  test('a role’s search path that is not ours is refused with the statement that mends it', async () => {
    await sql.query(`ALTER DATABASE ${database.name} SET search_path = nowhere`)
    await endSessions()
    const url = withParameters(pooler.url, 'pgbouncer=true')
    await expect(openRecords(url).catch(() => openRecords(url))).rejects.toMatchObject({
      code: 'DB_URL',
      message: expect.stringContaining('"public"') as unknown,
      fix: expect.stringMatching(/ALTER ROLE "\w+" SET search_path = "public";/) as unknown,
    })
    await sql.query(`ALTER DATABASE ${database.name} RESET search_path`)
    await endSessions()
  })

  test('a pooler that the URL does not name is found out, with what to write', async () => {
    // It passes everything on that a session needs, so that only our names of statements give it away.
    const quiet =
      'ignore_startup_parameters = search_path, IntervalStyle, extra_float_digits, bytea_output, array_nulls, default_transaction_isolation, statement_timeout, lock_timeout, idle_in_transaction_session_timeout'
    await using silent = await startPgbouncer({ url: database.url, settings: [quiet] })
    const ask = (records: Records) =>
      Promise.all(
        Array.from({ length: 20 }, (_, n) =>
          records.transaction((tx) => tx.query(Prisma.sql`SELECT ${n}::int AS n, pg_sleep(0.01)::text`)),
        ),
      )
    await using undeclared = await openRecords(silent.url, { poolSize: 6 })
    await expect(ask(undeclared)).rejects.toMatchObject({
      code: 'DB_URL',
      fix: expect.stringContaining('pgbouncer=true') as unknown,
    })
    await using declared = await openRecords(withParameters(silent.url, 'pgbouncer=true'), { poolSize: 6 })
    expect(await ask(declared)).toHaveLength(20)
  })

  test('the socket’s folder is a host in each form of libpq', async () => {
    const { password } = new URL(database.url)
    const dir = pooler.socketDir
    for (const url of [
      `postgresql:///${database.name}?host=${dir}&port=${pooler.port}&user=u&password=${password}&pgbouncer=true`,
      `postgresql://u:${password}@${encodeURIComponent(dir)}:${pooler.port}/${database.name}?pgbouncer=true`,
    ]) {
      await using records = await openRecords(url)
      expect(await listDomains(records)).toEqual([])
    }
  })
})

test('a schema in the URL is where the tables go, and nothing lands in public', async () => {
  const database = await keep(freshDatabase({ schema: 'empty' }))
  const url = withParameters(database.url, 'schema=fleet%20one')
  await migrate(url)
  const client = new pg.Client({ connectionString: database.url })
  await client.connect()
  const { rows } = await client.query(
    `SELECT DISTINCT relnamespace::regnamespace::text AS schema FROM pg_class WHERE relname IN ('files', '_prisma_migrations')
     UNION SELECT pronamespace::regnamespace::text FROM pg_proc WHERE proname LIKE 'sealfleet%'`,
  )
  expect(rows).toEqual([{ schema: '"fleet one"' }])
  await client.end()
  await using records = await openRecords(url)
  expect(await listDomains(records)).toEqual([])
  expect(await records.read((prisma) => prisma.file.count())).toBe(0)
  await expect(openRecords(database.url)).rejects.toMatchObject({
    code: 'DB_SCHEMA',
    fix: expect.stringContaining('schema=fleet%20one') as unknown,
  })
})

describe('TLS', () => {
  let pooler: Pgbouncer
  let ca: string
  let cert: string
  beforeAll(async () => {
    const dir = await keep(tempDir())
    cert = path.join(dir.path, 'cert.pem')
    const key = path.join(dir.path, 'key.pem')
    const subject = ['-subj', '/CN=db.example', '-addext', 'subjectAltName=DNS:db.example']
    execFileSync(
      'openssl',
      ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '1', ...subject, '-out', cert, '-keyout', key],
      {
        stdio: 'ignore',
      },
    )
    ca = readFileSync(cert, 'utf8')
    const database = await keep(freshDatabase())
    pooler = await keep(startPgbouncer({ url: database.url, tls: { cert: ca, key: readFileSync(key, 'utf8') } }))
  })

  test.each<[string, string, string, string]>([
    ['none where the server wants it', '', 'DB_ACCESS_DENIED', 'without TLS'],
    ['a certificate of no one we know', '&sslmode=verify-full', 'DB_TLS', 'not trusted here'],
    ['a certificate of another name', '&sslrootcert=CERT', 'DB_TLS', 'for another name: DNS:db.example'],
  ])('%s', async (_, query, code, message) => {
    const url = withParameters(pooler.url, `pgbouncer=true${query.replace('CERT', encodeURIComponent(cert))}`)
    await expect(openRecords(url)).rejects.toMatchObject({
      code,
      message: expect.stringContaining(message) as unknown,
      fix: expect.stringMatching(/sslmode|CA_FILE|SERVER_NAME/) as unknown,
    })
  })

  test('none where the URL demands it', async () => {
    await using database = await freshDatabase()
    await expect(openRecords(withParameters(database.url, 'sslmode=require'))).rejects.toMatchObject({
      code: 'DB_TLS',
      message: expect.stringContaining('does not speak TLS on that port') as unknown,
    })
  })

  test.each(['the URL’s file', 'the caller’s CA'])(
    'works with %s and the name that the certificate has',
    async (way) => {
      const file = way === 'the URL’s file'
      const query = `pgbouncer=true${file ? `&sslmode=verify-full&sslrootcert=${encodeURIComponent(cert)}` : ''}`
      const tls = { servername: 'db.example', ...(!file && { ca }) }
      await using records = await openRecords(withParameters(pooler.url, query), { tls })
      expect(await listDomains(records)).toEqual([])
    },
  )
})
