import pg from 'pg'
import { connectionFields, type DatabaseTls } from '../connection.js'
import { recordsError } from '../driver-error.js'
import { RecordsError } from '../errors.js'
import { readMigrations, type MigrationFile } from './migration-files.js'
import {
  foreignTables,
  readMigrationRows,
  recordApplied,
  recordFailed,
  type MigrationRows,
} from './migrations-table.js'
import { beginTurn, type TurnOptions } from './turn.js'

export interface MigrateOptions {
  /** Default: prisma/migrations of this checkout. */
  readonly migrationsDir?: string | undefined
  readonly connectTimeoutMs?: number | undefined
  readonly tls?: DatabaseTls | undefined
  /** How long to wait for another process that migrates this database. Default 300,000. */
  readonly lockTimeoutMs?: number | undefined
  /** Called when that wait takes longer than a moment, with who holds the lock. */
  readonly onWait?: ((holder: string) => void) | undefined
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

/** A migration may work for long, but must not queue for long: what waits behind its lock waits as well. */
const SCRIPT_LOCK_TIMEOUT_MS = 30_000

/**
 * Applies the migrations that the database lacks, each as one transaction, and leaves `_prisma_migrations` as `prisma migrate
 * deploy` would. A second run applies nothing; concurrent runs take turns, and each migration is applied once.
 * @throws RecordsError DB_URL, DB_UNAVAILABLE, DB_ACCESS_DENIED, DB_SCHEMA (a script failed, was edited, or there is none)
 */
export async function migrate(databaseUrl: string, options: MigrateOptions = {}): Promise<{ applied: string[] }> {
  const files = await readMigrations(options.migrationsDir)
  const turn = { timeoutMs: options.lockTimeoutMs ?? 300_000, onWait: options.onWait }
  return withClient(connectionConfig(databaseUrl, options), async (client) => {
    const applied: string[] = []
    for (;;) {
      const name = await applyNext(client, files, turn)
      if (name === undefined) return { applied }
      applied.push(name)
    }
  })
}

/** What is applied and what is not. Changes nothing. @throws RecordsError as migrate */
export async function migrationStatus(databaseUrl: string, options: MigrateOptions = {}): Promise<MigrationStatus> {
  const files = await readMigrations(options.migrationsDir)
  return withClient(connectionConfig(databaseUrl, options), async (client) =>
    compare(files, await readMigrationRows(client)),
  )
}

function connectionConfig(databaseUrl: string, options: MigrateOptions): pg.ClientConfig {
  return {
    ...connectionFields(databaseUrl, options.tls),
    application_name: 'sealfleet migrate',
    connectionTimeoutMillis: options.connectTimeoutMs ?? 5_000,
  }
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

/** Applies the oldest migration that is missing. @returns its name, undefined when none is missing */
async function applyNext(
  client: pg.Client,
  files: readonly MigrationFile[],
  turn: TurnOptions,
): Promise<string | undefined> {
  await beginTurn(client, turn)
  let file: MigrationFile | undefined
  try {
    file = await nextOf(client, files)
    if (file !== undefined) await apply(client, file)
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

async function apply(client: pg.Client, file: MigrationFile): Promise<void> {
  await client.query(`SET LOCAL lock_timeout = ${SCRIPT_LOCK_TIMEOUT_MS}`)
  // Without values: the server takes the whole text as one simple query, function bodies included.
  await recordApplied(client, file, () => client.query(file.script))
}

/** Takes the failed migration back and leaves its row unfinished, as Prisma does. @returns what to throw */
async function keepFailure(
  client: pg.Client,
  file: MigrationFile,
  turn: TurnOptions,
  error: unknown,
): Promise<RecordsError> {
  const mapped = recordsError(error)
  if (!(error instanceof pg.DatabaseError)) return mapped // the connection is gone, and the transaction with it
  await client.query('ROLLBACK')
  await beginTurn(client, turn)
  const done = (await readMigrationRows(client)).finished.has(file.name)
  if (!done) await recordFailed(client, file, logsOf(file, error))
  await client.query('COMMIT')
  if (mapped.code === 'DB_UNAVAILABLE' || mapped.code === 'DB_ACCESS_DENIED') return mapped
  // A migration's text holds no data of ours, so what the server says of it may be shown.
  return new RecordsError('DB_SCHEMA', `migration ${file.name} failed, and changed nothing: ${error.message}`, {
    cause: mapped,
    ...(mapped.sqlState !== undefined && { sqlState: mapped.sqlState }),
  })
}

/** The form that Prisma's command gives it. */
function logsOf(file: MigrationFile, error: pg.DatabaseError): string {
  return `Migration name: ${file.name}\n\nDatabase error code: ${error.code ?? ''}\n\nDatabase error:\nERROR: ${error.message}`
}

/** @throws RecordsError DB_SCHEMA when the database is not one that these migrations continue */
async function nextOf(client: pg.Client, files: readonly MigrationFile[]): Promise<MigrationFile | undefined> {
  const { changed, pending } = compare(files, await readMigrationRows(client))
  if (changed.length > 0)
    throw new RecordsError('DB_SCHEMA', `changed since they were applied: ${changed.join(', ')}`, {
      fix: 'restore the files of the version that applied them; changes go into a new migration',
    })
  const foreign = await foreignTables(client)
  if (foreign.length > 0)
    throw new RecordsError('DB_SCHEMA', `the schema holds tables of something else: ${foreign.join(', ')}`, {
      fix: 'give Sealfleet a database of its own',
    })
  return files.find(({ name }) => name === pending[0])
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
