import pg from 'pg'
import { connectionFields } from '../connection.js'
import { recordsError } from '../driver-error.js'
import { RecordsError } from '../errors.js'
import { openEngine } from './engine.js'
import { asMigrationList, readMigrations } from './migration-files.js'

export interface MigrateOptions {
  /** Default: prisma/migrations of this checkout. */
  readonly migrationsDir?: string | undefined
  readonly connectTimeoutMs?: number | undefined
  /** How long to wait for another process that migrates this database. Default 300,000. */
  readonly lockTimeoutMs?: number | undefined
}

export interface MigrationStatus {
  readonly applied: readonly string[]
  readonly pending: readonly string[]
  /** Begun and never finished: its script failed, and as one transaction left nothing. */
  readonly failed: readonly string[]
  /** Applied, and different from the file of that name today. */
  readonly changed: readonly string[]
  /** Applied, and unknown to this checkout: the database is newer. */
  readonly unknown: readonly string[]
}

/** Ours alone: Prisma's own engine locks 72707369 on a connection of its own. */
const LOCK = 0x5ea1f1e7

const FILTERS = { externalTables: [], externalEnums: [] }
/** All that the engine wants to know to apply scripts. */
const PROVIDER = 'datasource db {\n  provider = "postgresql"\n}\n'

/**
 * Applies the migrations that the database lacks, through Prisma's schema engine, leaving `_prisma_migrations` as
 * `prisma migrate deploy` would. A second run applies nothing; of concurrent runs one works and the others wait for it.
 * @throws RecordsError DB_URL, DB_UNAVAILABLE, DB_ACCESS_DENIED, DB_SCHEMA (a script failed, was edited, or there is none)
 */
export async function migrate(databaseUrl: string, options: MigrateOptions = {}): Promise<{ applied: string[] }> {
  const files = await readMigrations(options.migrationsDir)
  const config = connectionConfig(databaseUrl, options)
  return withLock(config, options.lockTimeoutMs ?? 300_000, async (client) => {
    const status = await statusOf(client, files)
    if (status.changed.length > 0)
      throw new RecordsError('DB_SCHEMA', `changed since they were applied: ${status.changed.join(', ')}`, {
        fix: 'restore the files of the version that applied them; changes go into a new migration',
      })
    if (status.pending.length === 0 && status.failed.length === 0) return { applied: [] }
    await using engine = await openEngine(config, PROVIDER)
    try {
      // Scripts run as one transaction each (see engine.ts): what failed left nothing, and may be tried again.
      for (const migrationName of status.failed) await engine.schema.markMigrationRolledBack({ migrationName })
      const list = asMigrationList(files, options.migrationsDir)
      const { appliedMigrationNames } = await engine.schema.applyMigrations({ migrationsList: list, filters: FILTERS })
      return { applied: appliedMigrationNames }
    } catch (error) {
      throw failure(engine.lastDriverError() ?? error)
    }
  })
}

/** What is applied and what is not. Changes nothing. @throws RecordsError as migrate */
export async function migrationStatus(databaseUrl: string, options: MigrateOptions = {}): Promise<MigrationStatus> {
  const files = await readMigrations(options.migrationsDir)
  return withClient(connectionConfig(databaseUrl, options), (client) => statusOf(client, files))
}

function connectionConfig(databaseUrl: string, options: MigrateOptions): pg.PoolConfig {
  return {
    ...connectionFields(databaseUrl),
    application_name: 'sealfleet migrate',
    connectionTimeoutMillis: options.connectTimeoutMs ?? 5_000,
    // A migration may work for long, but must not queue for long: whoever waits behind its lock waits as well.
    lock_timeout: 30_000,
  }
}

async function statusOf(
  client: pg.Client,
  files: readonly { name: string; checksum: string }[],
): Promise<MigrationStatus> {
  const { rows: tables } = await client.query<{ there: boolean }>(
    `SELECT to_regclass('_prisma_migrations') IS NOT NULL AS there`,
  )
  const { rows } = tables[0]?.there
    ? await client.query<{ name: string; checksum: string; finished: boolean }>(
        `SELECT migration_name AS name, checksum, finished_at IS NOT NULL AS finished
         FROM _prisma_migrations WHERE rolled_back_at IS NULL ORDER BY started_at`,
      )
    : { rows: [] }
  const done = new Map(rows.filter((row) => row.finished).map((row) => [row.name, row.checksum]))
  const known = new Map(files.map((file) => [file.name, file.checksum]))
  return {
    applied: [...done.keys()],
    pending: files.map((file) => file.name).filter((name) => !done.has(name)),
    failed: rows.filter((row) => !row.finished && !done.has(row.name)).map((row) => row.name),
    changed: [...done].filter(([name, sum]) => known.has(name) && known.get(name) !== sum).map(([name]) => name),
    unknown: [...done.keys()].filter((name) => !known.has(name)),
  }
}

async function withClient<T>(config: pg.ClientConfig, run: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client(config)
  // Told by the query in hand; unheard, it would end the process.
  client.on('error', () => undefined)
  try {
    await client.connect()
    return await run(client)
  } catch (error) {
    throw recordsError(error)
  } finally {
    await client.end()
  }
}

/** Holds an advisory lock on a connection of its own meanwhile; the lock ends with the connection, come what may. */
function withLock<T>(
  config: pg.ClientConfig,
  lockTimeoutMs: number,
  run: (client: pg.Client) => Promise<T>,
): Promise<T> {
  return withClient(config, async (client) => {
    await client.query(`SET lock_timeout = ${Math.trunc(lockTimeoutMs)}`)
    await client.query('SELECT pg_advisory_lock($1)', [LOCK])
    return run(client)
  })
}

function failure(error: unknown): RecordsError {
  const mapped = recordsError(error)
  if (mapped.code === 'DB_UNAVAILABLE' || mapped.code === 'DB_ACCESS_DENIED') return mapped
  // A migration's text holds no data of ours, so what the server says of it may be shown.
  const message =
    error instanceof Error ? error.message : String((error as { message?: unknown } | null)?.message ?? error)
  return new RecordsError('DB_SCHEMA', `a migration failed, and changed nothing: ${message}`, {
    cause: mapped,
    ...(mapped.sqlState !== undefined && { sqlState: mapped.sqlState }),
  })
}
