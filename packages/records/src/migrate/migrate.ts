import pg from 'pg'
import { driverFields, type ConnectionOptions } from '../db/connection.js'
import { clientClass } from '../db/client.js'
import { sessionSettings } from '../db/session.js'
import { parseDatabaseUrl, type DatabaseAddress } from '../db/database-url.js'
import { recordsError } from '../db/driver-error.js'
import { RecordsError } from '../db/errors.js'
import { otherSchema } from '../db/other-schema.js'
import { OLDEST_POSTGRES } from '../db/schema-version.js'
import { readMigrations, type MigrationFile } from './migration-files.js'
import {
  foreignTables,
  readMigrationRows,
  recordApplied,
  recordFailed,
  type MigrationRows,
} from './migrations-table.js'
import { beginTurn, useSettings, type TurnOptions } from './turn.js'

export interface MigrateOptions extends Pick<ConnectionOptions, 'connectTimeoutMs' | 'tls'> {
  /** Default: prisma/migrations of this checkout. */
  readonly migrationsDir?: string | undefined
  /** Time limit of the wait for another process that migrates this database. Default 300,000. */
  readonly lockTimeoutMs?: number | undefined
  /** Called when that wait takes longer than a moment, with the holder of the lock. */
  readonly onWait?: ((holder: string) => void) | undefined
}

export interface MigrationStatus {
  readonly applied: readonly string[]
  readonly pending: readonly string[]
  /** Begun and never finished: its script failed and, as one transaction, left no changes. */
  readonly failed: readonly string[]
  /** Applied, and different from today's file of that name. */
  readonly changed: readonly string[]
  /** Applied, and unknown to this checkout: the database is newer. */
  readonly unknown: readonly string[]
}

/**
 * A migration may run for long, but must not queue for long: statements behind its lock wait as well. The lock of a
 * process that is cut off in the middle must not last long either.
 */
const TIMEOUTS = { statementMs: 0, lockMs: 30_000, idleInTransactionMs: 60_000 }

/**
 * Applies the migrations that the database lacks, each as one transaction, and leaves `_prisma_migrations` as
 * `prisma migrate deploy` would. A second run applies nothing; concurrent runs take turns, and each migration is
 * applied once.
 * @throws RecordsError DB_URL, DB_UNAVAILABLE, DB_ACCESS_DENIED, DB_SCHEMA (a script failed, was edited, or there is
 * none)
 */
export async function migrate(databaseUrl: string, options: MigrateOptions = {}): Promise<{ applied: string[] }> {
  const files = await readMigrations(options.migrationsDir)
  const address = parseDatabaseUrl(databaseUrl, options.tls)
  const settings = sessionSettings(address.schema, TIMEOUTS)
  const turn = { settings, timeoutMs: options.lockTimeoutMs ?? 300_000, onWait: options.onWait }
  return withClient(address, options, async (client) => {
    await refuseOldServer(client)
    const applied: string[] = []
    for (;;) {
      const name = await applyNext(client, files, { ...turn, schema: address.schema })
      if (name === undefined) return { applied }
      applied.push(name)
    }
  })
}

/** The applied and the missing migrations. Changes nothing. @throws RecordsError as migrate */
export async function migrationStatus(databaseUrl: string, options: MigrateOptions = {}): Promise<MigrationStatus> {
  const files = await readMigrations(options.migrationsDir)
  const address = parseDatabaseUrl(databaseUrl, options.tls)
  return withClient(address, options, async (client) => {
    await client.query('BEGIN READ ONLY')
    await useSettings(client, sessionSettings(address.schema, TIMEOUTS))
    const rows = await readMigrationRows(client)
    await client.query('COMMIT')
    return compare(files, rows)
  })
}

function compare(files: readonly MigrationFile[], { finished, unfinished }: MigrationRows): MigrationStatus {
  const known = new Map(files.map((file) => [file.name, file.checksum]))
  return {
    applied: [...finished.keys()],
    pending: files.map((file) => file.name).filter((name) => !finished.has(name)),
    failed: unfinished,
    changed: [...finished].filter(([name, sum]) => known.has(name) && known.get(name) !== sum).map(([name]) => name),
    unknown: [...finished.keys()].filter((name) => !known.has(name)),
  }
}

type Turn = TurnOptions & { readonly schema: string }

/** Applies the oldest migration that is missing. @returns its name, undefined when none is missing */
async function applyNext(client: pg.Client, files: readonly MigrationFile[], turn: Turn): Promise<string | undefined> {
  await beginTurn(client, turn)
  let file: MigrationFile | undefined
  try {
    file = await nextOf(client, files, turn.schema)
    if (file !== undefined) await apply(client, file, turn.schema)
    await client.query('COMMIT')
    return file?.name
  } catch (error) {
    if (error instanceof RecordsError) {
      await client.query('ROLLBACK')
      throw error
    }
    throw file === undefined ? error : await keepFailure(client, file, turn, error)
  }
}

async function apply(client: pg.Client, file: MigrationFile, schema: string): Promise<void> {
  await makeSchema(client, schema)
  // Without values: the server takes the whole text as one simple query, function bodies included.
  await recordApplied(client, file, () => client.query(file.script))
}

/** Rolls the failed migration back and leaves its row unfinished, as Prisma does. @returns the error to throw */
async function keepFailure(client: pg.Client, file: MigrationFile, turn: Turn, error: unknown): Promise<RecordsError> {
  const mapped = recordsError(error)
  if (!(error instanceof pg.DatabaseError)) return mapped // the connection is gone, and the transaction with it
  await client.query('ROLLBACK')
  await beginTurn(client, turn)
  await makeSchema(client, turn.schema)
  const done = (await readMigrationRows(client)).finished.has(file.name)
  if (!done) await recordFailed(client, file, logsOf(file, error))
  await client.query('COMMIT')
  if (mapped.code === 'DB_UNAVAILABLE' || mapped.code === 'DB_ACCESS_DENIED') return mapped
  // A migration's text holds no data of ours, so the server's message may be shown.
  return new RecordsError('DB_SCHEMA', `migration ${file.name} failed, and changed nothing: ${error.message}`, {
    cause: mapped,
    ...(mapped.sqlState !== undefined && { sqlState: mapped.sqlState }),
  })
}

/** The form that Prisma's command gives it. */
function logsOf(file: MigrationFile, error: pg.DatabaseError): string {
  return `Migration name: ${file.name}\n\nDatabase error code: ${error.code ?? ''}\n\nDatabase error:\nERROR: ${error.message}`
}

/** @throws RecordsError DB_SCHEMA when these migrations cannot continue this database */
async function nextOf(
  client: pg.Client,
  files: readonly MigrationFile[],
  schema: string,
): Promise<MigrationFile | undefined> {
  const { changed, pending } = compare(files, await readMigrationRows(client))
  if (changed.length > 0)
    throw new RecordsError('DB_SCHEMA', `changed since they were applied: ${changed.join(', ')}`, {
      fix: 'restore the files of the version that applied them; changes go into a new migration',
    })
  const next = files.find(({ name }) => name === pending[0])
  if (next === undefined) return undefined
  const other = pending.length === files.length ? await otherSchema(client, schema) : undefined
  if (other !== undefined && schema === 'public')
    throw new RecordsError('DB_SCHEMA', `the tables are in schema "${other}", and none are in "public"`, {
      fix: `add schema=${encodeURIComponent(other)} to SEALFLEET_DATABASE_URL (or schema=NAME for a second fleet in this database)`,
    })
  const foreign = await foreignTables(client)
  if (foreign.length > 0)
    throw new RecordsError('DB_SCHEMA', `the schema holds tables of something else: ${foreign.join(', ')}`, {
      fix: 'give Sealfleet a database of its own, or a schema: add schema=NAME to SEALFLEET_DATABASE_URL',
    })
  return next
}

/** @throws RecordsError DB_SCHEMA */
async function refuseOldServer(client: pg.Client): Promise<void> {
  const { rows } = await client.query<{ version: string }>(`SELECT current_setting('server_version_num') AS version`)
  const version = Math.floor(Number(rows[0]?.version) / 10_000)
  if (!(version >= OLDEST_POSTGRES))
    throw new RecordsError(
      'DB_SCHEMA',
      `the server is PostgreSQL ${version}; ${OLDEST_POSTGRES} is the oldest supported`,
      {
        fix: `upgrade the server to PostgreSQL ${OLDEST_POSTGRES} or later`,
      },
    )
}

/** Checks first whether it exists: a user may own the schema without the right to make one. */
async function makeSchema(client: pg.Client, schema: string): Promise<void> {
  const { rows } = await client.query('SELECT 1 FROM pg_namespace WHERE nspname = $1', [schema])
  if (rows.length === 0) await client.query(`CREATE SCHEMA ${pg.escapeIdentifier(schema)}`)
}

async function withClient<T>(
  address: DatabaseAddress,
  options: MigrateOptions,
  run: (client: pg.Client) => Promise<T>,
): Promise<T> {
  const Client = clientClass(address, 'sealfleet migrate', TIMEOUTS)
  const connectionTimeoutMillis = address.connectTimeoutMs ?? options.connectTimeoutMs ?? 5_000
  const client = new Client({ ...driverFields(address), connectionTimeoutMillis })
  // The running query reports it; without a listener it would end the process.
  client.on('error', () => undefined)
  try {
    await client.connect()
  } catch (error) {
    // Not awaited: a connection that a server ended in its handshake never reports its end.
    void client.end()
    throw recordsError(error)
  }
  try {
    return await run(client)
  } catch (error) {
    throw recordsError(error)
  } finally {
    await client.end()
  }
}
