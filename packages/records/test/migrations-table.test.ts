import { createHash } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { freshDatabase, tempDir } from '@sealfleet/testkit'
import pg from 'pg'
import { beforeAll, describe, expect, test } from 'vitest'
import { driverFields } from '../src/db/connection.js'
import { parseDatabaseUrl } from '../src/db/database-url.js'
import { migrate } from '../src/migrate/migrate.js'
import { readMigrations } from '../src/migrate/migration-files.js'
import { asMigrationList, openEngine } from './prisma-engine.js'

/** What a database holds after migrations, without what differs from run to run. */
interface Traces {
  /** Columns, keys and indexes of `_prisma_migrations`. */
  readonly table: unknown[]
  readonly rows: { name: string; checksum: string; steps: number; finished: boolean; rolled_back: boolean }[]
  readonly relations: string[]
}

const BROKEN = 'CREATE TABLE two (id int);\nCREATE TABLE three (id nonsense);\n'
const MENDED = 'CREATE TABLE two (id int);\n'
const FUNCTION = `CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$ BEGIN PERFORM 1; RETURN ';'::text <> ''; END $$;\n`

async function write(dir: string, second: string): Promise<void> {
  const scripts = { '20260101000000_one': `CREATE TABLE one (id int);\n${FUNCTION}`, '20260102000000_two': second }
  for (const [name, script] of Object.entries({ ...scripts, '20260103000000_four': 'CREATE TABLE four (id int);\n' })) {
    await mkdir(path.join(dir, name), { recursive: true })
    await writeFile(path.join(dir, name, 'migration.sql'), script)
  }
}

async function traces(url: string): Promise<Traces> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    const { rows: table } = await client.query<Record<string, unknown>>(
      `SELECT attname, format_type(atttypid, atttypmod), attnotnull, pg_get_expr(adbin, adrelid) FROM pg_attribute
       LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
       WHERE attrelid = '_prisma_migrations'::regclass AND attnum > 0
       UNION ALL SELECT pg_get_indexdef(indexrelid), 'index', indisprimary, NULL FROM pg_index
       WHERE indrelid = '_prisma_migrations'::regclass
       UNION ALL SELECT conname, pg_get_constraintdef(oid), convalidated, NULL FROM pg_constraint
       WHERE conrelid = '_prisma_migrations'::regclass`,
    )
    const { rows } = await client.query<Traces['rows'][number]>(
      `SELECT migration_name AS name, checksum, applied_steps_count AS steps, finished_at IS NOT NULL AS finished,
              rolled_back_at IS NOT NULL AS rolled_back
       FROM _prisma_migrations ORDER BY started_at`,
    )
    const { rows: relations } = await client.query<{ name: string }>(
      `SELECT relname AS name FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' ORDER BY 1`,
    )
    // What holds for every row, told by the database: ids, the order of times, logs where it failed.
    const { rows: odd } = await client.query(
      `SELECT * FROM _prisma_migrations WHERE NOT (
         id ~ '^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$'
         AND started_at BETWEEN now() - interval '5 minutes' AND now() + interval '1 minute'
         AND coalesce(finished_at >= started_at, TRUE) AND coalesce(rolled_back_at >= started_at, TRUE)
         AND (logs IS NULL) = (finished_at IS NOT NULL))`,
    )
    expect(odd).toEqual([])
    return { table, rows, relations: relations.map((row) => row.name) }
  } finally {
    await client.end()
  }
}

/** The same with Prisma's own engine; `retry` marks what failed as rolled back first. */
async function prismaDeploys(url: string, dir: string, retry: boolean): Promise<void> {
  await using engine = await openEngine(
    driverFields(parseDatabaseUrl(url)),
    'datasource db {\n  provider = "postgresql"\n}\n',
  )
  if (retry) await engine.schema.markMigrationRolledBack({ migrationName: '20260102000000_two' })
  const migrationsList = asMigrationList(await readMigrations(dir), dir)
  await engine.schema.applyMigrations({ migrationsList, filters: { externalTables: [], externalEnums: [] } })
}

describe('the table of migrations is as Prisma’s own engine leaves it', () => {
  const seen = new Map<string, [ours: Traces, prismas: Traces]>()
  beforeAll(async () => {
    await using dir = await tempDir()
    await using ours = await freshDatabase({ schema: 'empty' })
    await using prismas = await freshDatabase({ schema: 'empty' })
    const look = async (): Promise<[Traces, Traces]> => [await traces(ours.url), await traces(prismas.url)]
    await write(dir.path, BROKEN)
    await expect(migrate(ours.url, { migrationsDir: dir.path })).rejects.toMatchObject({ code: 'DB_SCHEMA' })
    await expect(prismaDeploys(prismas.url, dir.path, false)).rejects.toThrow()
    seen.set('failed', await look())
    await write(dir.path, MENDED)
    await migrate(ours.url, { migrationsDir: dir.path })
    await prismaDeploys(prismas.url, dir.path, true)
    seen.set('mended', await look())
  })

  test.each([
    ['failed', ['_prisma_migrations', 'one'], ['finished', 'open']],
    ['mended', ['_prisma_migrations', 'four', 'one', 'two'], ['finished', 'rolled back', 'finished', 'finished']],
  ])('after one that %s', (when, relations, states) => {
    const [ours, prismas] = seen.get(when)!
    expect(ours).toEqual(prismas)
    expect(ours.relations).toEqual(relations)
    expect(ours.rows.map((row) => (row.finished ? 'finished' : row.rolled_back ? 'rolled back' : 'open'))).toEqual(
      states,
    )
  })

  test('with the checksum of the file that was applied', () => {
    const checksum = createHash('sha256').update(MENDED).digest('hex')
    expect(seen.get('mended')![0].rows[2]).toMatchObject({ name: '20260102000000_two', checksum })
  })
})

test('what another program keeps in the database is refused, as by Prisma', async () => {
  await using dir = await tempDir()
  await using database = await freshDatabase({ schema: 'empty' })
  const client = new pg.Client({ connectionString: database.url })
  await client.connect()
  await client.query('CREATE TABLE theirs (id int)')
  await client.end()
  await write(dir.path, MENDED)
  await expect(prismaDeploys(database.url, dir.path, false)).rejects.toMatchObject({ code: 'P3005' })
  await expect(migrate(database.url, { migrationsDir: dir.path })).rejects.toMatchObject({
    code: 'DB_SCHEMA',
    message: expect.stringContaining('theirs') as unknown,
  })
})
