import { readFile } from 'node:fs/promises'
import { freshDatabase, hostileDefaults, type FreshDatabase } from '@sealfleet/testkit'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { instantOf } from '../src/db/times.js'
import { Prisma } from '../src/generated/client.js'
import { migrate } from '../src/migrate/migrate.js'
import { OLDEST_POSTGRES } from '../src/db/schema-version.js'
import { openRecords, type Records } from '../src/db/records.js'
import { sessionReport } from '../src/upkeep/session-report.js'

test.each([
  ['2026-11-30 08:37:39.571+00', '2026-11-30T08:37:39.571+00:00'],
  ['2026-11-30 14:07:39.571+05:30', '2026-11-30T08:37:39.571+00:00'],
  ['2026-11-30 05:07:39-03:30', '2026-11-30T08:37:39+00:00'],
  ['2027-01-01 00:30:00.123456+01', '2026-12-31T23:30:00.123456+00:00'],
  ['1900-01-01 00:53:28+00:53:28', '1900-01-01T00:00:00+00:00'],
])('a time that the server writes as %s is %s', (text, instant) => {
  expect(instantOf(text)).toBe(instant)
})

test.each(['30.11.2026 14:07:39.571 IST', '11/30/2026 08:37:39 UTC', 'Mon 30 Nov 08:37:39 2026 UTC'])(
  'a time of another DateStyle is refused, not guessed: %s',
  (text) => {
    expect(() => instantOf(text)).toThrow(RangeError)
  },
)

describe('on a database whose defaults are hostile, in a hostile environment', () => {
  let database: FreshDatabase
  let records: Records
  const before = { ...process.env }
  beforeAll(async () => {
    database = await freshDatabase({ schema: 'empty' })
    const admin = new pg.Client({ connectionString: database.url })
    await admin.connect()
    await admin.query(hostileDefaults(database.name))
    await admin.end()
    Object.assign(process.env, {
      TZ: 'America/St_Johns',
      LANG: 'de_DE.UTF-8',
      PGTZ: 'Asia/Kolkata',
      PGDATESTYLE: 'SQL, DMY',
      PGOPTIONS: '-c search_path=nowhere -c timezone=Pacific/Chatham',
      PGAPPNAME: 'somebody',
      PGCLIENTENCODING: 'LATIN1',
      PGSSLMODE: 'verify-full',
      PGHOST: 'host.invalid',
    })
    await migrate(database.url)
    records = await openRecords(database.url)
  })
  afterAll(async () => {
    for (const name of Object.keys(process.env)) if (!(name in before)) Reflect.deleteProperty(process.env, name)
    Object.assign(process.env, before)
    await records?.close()
    await database?.[Symbol.asyncDispose]()
  })

  test('the session has our settings', async () => {
    const { settings, overridden, concerns } = await sessionReport(records)
    expect(settings).toMatchObject({
      TimeZone: 'UTC',
      DateStyle: 'ISO, MDY',
      IntervalStyle: 'postgres',
      search_path: '"public", pg_temp',
      standard_conforming_strings: 'on',
      bytea_output: 'hex',
      extra_float_digits: '1',
      default_transaction_isolation: 'read committed',
      statement_timeout: '15000',
    })
    expect(overridden).toMatchObject({ TimeZone: 'Asia/Kolkata', search_path: 'nowhere', bytea_output: 'escape' })
    expect(concerns).toEqual([])
    const [row] = await records.query<{ name: string; encoding: string }>(
      Prisma.sql`SELECT current_setting('application_name') AS name, current_setting('client_encoding') AS encoding`,
    )
    expect(row).toEqual({ name: 'sealfleet', encoding: 'UTF8' })
  })

  test.each(['UTC', 'Europe/Berlin', 'Asia/Kolkata', 'America/St_Johns'])(
    'times go in and come out as the same instant even in a session of %s',
    async (zone) => {
      const at = new Date('2026-07-01T22:59:59.123Z')
      await records.transaction(async (tx) => {
        await tx.query(Prisma.sql`SELECT set_config('TimeZone', ${zone}, TRUE)`)
        const [row] = await tx.query<{ at: Date; all: Date[]; ms: number; same: boolean }>(
          Prisma.sql`SELECT ${at}::timestamptz AS at, ARRAY[${at}::timestamptz] AS all,
            (extract(epoch FROM ${at}::timestamptz) * 1000)::float8 AS ms,
            ${at}::timestamptz = '2026-07-01T22:59:59.123Z'::timestamptz AS same`,
        )
        expect(row).toEqual({ at, all: [at], ms: at.getTime(), same: true })
      })
    },
  )

  test('Prisma’s typed reads compare and return the same instants', async () => {
    const at = new Date('2026-11-30T23:30:00.001Z')
    await records.query(Prisma.sql`INSERT INTO batches (id, name, created_by, created_at)
      VALUES (gen_random_uuid(), 'by time', 'test', '2026-11-30T23:30:00.001Z')`)
    const found = await records.read((prisma) => prisma.batch.findMany({ where: { createdAt: at } }))
    expect(found.map((row) => row.createdAt)).toEqual([at])
  })

  test('a producer’s own session gets the fingerprint that every other one gets', async () => {
    const client = new pg.Client({ connectionString: database.url, ssl: false, options: '-c statement_timeout=0' })
    await client.connect()
    const call = `SELECT encode(public.sealfleet_fingerprint('default', 'in', 'a/b', 'x'::bytea), 'hex') AS print,
      public.sealfleet_enqueue_fault('{"fileId":"0190d1c2-0000-7000-8000-000000000001","source":{"root":"in","path":"../x"}}'::jsonb) AS fault`
    const hostile = (await client.query(call)).rows
    await client.query('SET standard_conforming_strings = on')
    await client.query('DISCARD PLANS')
    expect(hostile).toEqual((await client.query(call)).rows)
    expect(hostile).toMatchObject([{ fault: 'enqueue_path' }])
    await client.end()
  })
})

test('the documents name the oldest version that the program refuses to go below', async () => {
  const text = async (file: string) => readFile(new URL(`../../../${file}`, import.meta.url), 'utf8')
  expect(await text('docs/operate/README.md')).toContain(`Postgres ≥ ${OLDEST_POSTGRES} `)
  expect(await text('packages/records/README.md')).toContain(`PostgreSQL ${OLDEST_POSTGRES} or later`)
})
