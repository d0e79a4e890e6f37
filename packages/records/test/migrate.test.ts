import { cp, mkdir, readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { freshDatabase, tempDir } from '@sealfleet/testkit'
import pg from 'pg'
import { describe, expect, test } from 'vitest'
import { countsByState } from '../src/files/counts.js'
import { migrate, migrationStatus } from '../src/migrate/migrate.js'
import { openRecords } from '../src/db/records.js'
import { driverFields } from '../src/db/connection.js'
import { parseDatabaseUrl } from '../src/db/database-url.js'
import { MIGRATIONS_DIR, readMigrations } from '../src/migrate/migration-files.js'
import { SCHEMA_VERSION } from '../src/db/schema-version.js'
import { asMigrationList, openEngine } from './prisma-engine.js'

const SCHEMA = fileURLToPath(new URL('../../../prisma/schema.prisma', import.meta.url))

async function query<Row extends pg.QueryResultRow>(url: string, sql: string): Promise<Row[]> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return (await client.query<Row>(sql)).rows
  } finally {
    await client.end()
  }
}

/** SQL that would turn what the migrations make into what the schema says: in a shadow database, by Prisma's engine. */
async function drift(url: string, schema: string): Promise<string | null> {
  await using engine = await openEngine(driverFields(parseDatabaseUrl(url)), schema)
  const { exitCode, stdout } = await engine.schema.diff({
    from: { tag: 'migrations', ...asMigrationList(await readMigrations()) },
    to: { tag: 'schemaDatamodel', files: [{ path: 'schema.prisma', content: schema }] },
    script: true,
    exitCode: true,
    filters: { externalTables: [], externalEnums: [] },
  })
  return exitCode === 0 ? null : stdout
}

describe('migrations and schema', () => {
  test('agree', async () => {
    await using database = await freshDatabase({ schema: 'empty' })
    expect(await drift(database.url, await readFile(SCHEMA, 'utf8'))).toBeNull()
  })

  test.each<[string, (schema: string) => string, string]>([
    [
      'a column more',
      (s) => s.replace('  crashes ', '  flights Int @default(0)\n  crashes '),
      'ADD COLUMN     "flights"',
    ],
    ['a column less', (s) => s.replace(/^ {2}etag .*\n/m, ''), 'DROP COLUMN "etag"'],
    ['another type', (s) => s.replace(/(objectLength +)BigInt/, '$1Int'), '"object_length"'],
    ['a column that may be null', (s) => s.replace(/(fingerprint +Bytes)( *\n)/, '$1?$2'), 'DROP NOT NULL'],
    [
      'a unique index less',
      (s) => s.replace('  @@unique([encKeyId, nonceIdEnc])\n', ''),
      'attempts_enc_key_id_nonce_id_enc_key',
    ],
    [
      'a state more',
      (s) => s.replace('  DISCARDED\n  DELETED\n', '  DISCARDED\n  DELETED\n  LOST\n'),
      `ADD VALUE 'LOST'`,
    ],
    ['another generated constant', (s) => s.replace('@default(ENC)', '@default(SIG)'), '"enc_role"'],
  ])('do not when the schema has %s', async (_, change, sql) => {
    await using database = await freshDatabase({ schema: 'empty' })
    const schema = await readFile(SCHEMA, 'utf8')
    expect(change(schema)).not.toBe(schema)
    expect(await drift(database.url, change(schema))).toContain(sql)
  })

  test('are compared in a database of their own, which is gone afterwards', async () => {
    await using database = await freshDatabase({ schema: 'empty' })
    const shadows = `SELECT datname FROM pg_database WHERE datname LIKE 'sealfleet_shadow_%' ORDER BY datname`
    const before = await query(database.url, shadows)
    await drift(database.url, await readFile(SCHEMA, 'utf8'))
    expect(await query(database.url, shadows)).toEqual(before)
    expect(await query(database.url, `SELECT 1 FROM pg_class WHERE relnamespace = 'public'::regnamespace`)).toEqual([])
  })

  test('the newest migration is the one that openRecords asks for', async () => {
    expect((await readMigrations()).at(-1)?.name).toBe(SCHEMA_VERSION)
  })
})

describe('migrate', () => {
  test('makes the tables, and nothing the second time', async () => {
    await using database = await freshDatabase({ schema: 'empty' })
    const names = (await readMigrations()).map((migration) => migration.name)
    await expect(openRecords(database.url)).rejects.toMatchObject({ code: 'DB_SCHEMA' })
    expect(await migrationStatus(database.url)).toMatchObject({ applied: [], pending: names })
    expect(await migrate(database.url)).toEqual({ applied: names })
    const before = await query(database.url, 'SELECT * FROM _prisma_migrations')
    expect(await migrate(database.url)).toEqual({ applied: [] })
    expect(await query(database.url, 'SELECT * FROM _prisma_migrations')).toEqual(before)
    expect(await migrationStatus(database.url)).toEqual({
      applied: names,
      pending: [],
      failed: [],
      changed: [],
      unknown: [],
    })
    await using records = await openRecords(database.url)
    expect(await countsByState(records)).toMatchObject({ QUEUED: 0 })
  })

  test('by several processes at once applies each migration once', async () => {
    await using database = await freshDatabase({ schema: 'empty' })
    const names = (await readMigrations()).map((migration) => migration.name)
    const runs = await Promise.all(Array.from({ length: 5 }, () => migrate(database.url)))
    expect(runs.flatMap((run) => run.applied).sort()).toEqual(names)
    expect(await query(database.url, 'SELECT 1 FROM _prisma_migrations')).toHaveLength(names.length)
  })

  test.each([
    ['another migration', 0x5ea1f1e7],
    ['Prisma’s own command', 72707369],
  ])('waits for %s, says for whom, and gives up with a clear error', async (_, lock) => {
    await using database = await freshDatabase({ schema: 'empty' })
    const holder = new pg.Client({ connectionString: database.url, application_name: 'deploy of version 7' })
    holder.on('error', () => undefined)
    await holder.connect()
    await holder.query('SELECT pg_advisory_lock($1)', [lock])
    const { pid } = (await holder.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')).rows[0]!
    const who = expect.stringMatching(`process ${pid} \\(deploy of version 7, user `) as string
    const told: string[] = []
    const onWait = (holding: string): void => void told.push(holding)
    await expect(migrate(database.url, { lockTimeoutMs: 60, onWait })).rejects.toMatchObject({
      code: 'DB_UNAVAILABLE',
      sqlState: '55P03',
      message: who,
      fix: expect.stringContaining('pg_terminate_backend') as unknown,
    })
    expect(told).toEqual([who])
    const waiting = migrate(database.url)
    await holder.end()
    expect((await waiting).applied).not.toEqual([])
  })

  test('of a script that fails leaves nothing of it, says why, and goes on once it is mended', async () => {
    await using database = await freshDatabase({ schema: 'empty' })
    await using dir = await tempDir()
    await migrate(database.url)
    await cp(MIGRATIONS_DIR, dir.path, { recursive: true })
    const script = path.join(dir.path, '29991231235959_more', 'migration.sql')
    await mkdir(path.dirname(script))
    await writeFile(script, 'CREATE TABLE one (id int);\nCREATE TABLE two (id nonsense);\n')
    const options = { migrationsDir: dir.path }
    const failure: unknown = await migrate(database.url, options).catch((error: unknown) => error)
    expect(failure).toMatchObject({ name: 'RecordsError', code: 'DB_SCHEMA', sqlState: '42704' })
    expect(String(failure)).toContain('type "nonsense" does not exist')
    expect(await query(database.url, `SELECT to_regclass('one') AS one`)).toEqual([{ one: null }])
    expect(await migrationStatus(database.url, options)).toMatchObject({
      pending: ['29991231235959_more'],
      failed: ['29991231235959_more'],
    })
    await writeFile(script, 'CREATE TABLE one (id int);\n')
    expect(await migrate(database.url, options)).toEqual({ applied: ['29991231235959_more'] })
    expect(await migrationStatus(database.url, options)).toMatchObject({ pending: [], failed: [] })
    // Older programs work on a newer database; their own status says so.
    expect(await migrationStatus(database.url)).toMatchObject({ unknown: ['29991231235959_more'], pending: [] })
    await (await openRecords(database.url)).close()
  })

  test('refuses a script that was changed after it was applied', async () => {
    await using database = await freshDatabase({ schema: 'empty' })
    await using dir = await tempDir()
    await cp(MIGRATIONS_DIR, dir.path, { recursive: true })
    await migrate(database.url, { migrationsDir: dir.path })
    await writeFile(path.join(dir.path, SCHEMA_VERSION, 'migration.sql'), 'SELECT 1;\n')
    await expect(migrate(database.url, { migrationsDir: dir.path })).rejects.toMatchObject({
      code: 'DB_SCHEMA',
      message: expect.stringContaining(SCHEMA_VERSION) as unknown,
    })
  })

  test('says where it looked when there are no migrations', async () => {
    await using dir = await tempDir()
    for (const migrationsDir of [dir.path, path.join(dir.path, 'missing')])
      await expect(migrate('postgres://u@127.0.0.1/x', { migrationsDir })).rejects.toMatchObject({
        code: 'DB_SCHEMA',
        message: expect.stringContaining(migrationsDir) as unknown,
      })
  })
})
