import { randomUUID } from 'node:crypto'
import type pg from 'pg'
import type { MigrationFile } from './migration-files.js'

/** The content of the table. Names are in the order in which the migrations were begun. */
export interface MigrationRows {
  /** Name and checksum. */
  readonly finished: ReadonlyMap<string, string>
  /** Begun, not finished and not rolled back. */
  readonly unfinished: readonly string[]
}

/** Exactly the statement of Prisma's engine (schema-engine 7.10). */
const CREATE = `CREATE TABLE _prisma_migrations (
    id                      VARCHAR(36) PRIMARY KEY NOT NULL,
    checksum                VARCHAR(64) NOT NULL,
    finished_at             TIMESTAMPTZ,
    migration_name          VARCHAR(255) NOT NULL,
    logs                    TEXT,
    rolled_back_at          TIMESTAMPTZ,
    started_at              TIMESTAMPTZ NOT NULL DEFAULT now(),
    applied_steps_count     INTEGER NOT NULL DEFAULT 0
)`

async function tableExists(client: pg.ClientBase): Promise<boolean> {
  const { rows } = await client.query<{ exists: boolean }>(
    `SELECT to_regclass('_prisma_migrations') IS NOT NULL AS exists`,
  )
  return rows[0]?.exists === true
}

/** The state of a database without the table: nothing is applied. */
export async function readMigrationRows(client: pg.ClientBase): Promise<MigrationRows> {
  if (!(await tableExists(client))) return { finished: new Map(), unfinished: [] }
  const { rows } = await client.query<{ name: string; checksum: string; finished: boolean }>(
    `SELECT migration_name AS name, checksum, finished_at IS NOT NULL AS finished
     FROM _prisma_migrations WHERE rolled_back_at IS NULL ORDER BY started_at`,
  )
  const finished = new Map(rows.filter((row) => row.finished).map((row) => [row.name, row.checksum]))
  return { finished, unfinished: rows.filter((row) => !row.finished && !finished.has(row.name)).map((row) => row.name) }
}

/** Tables of another program, if there is no table of migrations yet. Prisma refuses such a schema (P3005), as we do. */
export async function foreignTables(client: pg.ClientBase): Promise<string[]> {
  if (await tableExists(client)) return []
  const { rows } = await client.query<{ name: string }>(
    `SELECT relname AS name FROM pg_class
     WHERE relkind = 'r' AND relnamespace = to_regnamespace(quote_ident(current_schema())) ORDER BY relname LIMIT 5`,
  )
  return rows.map((row) => row.name)
}

/**
 * Makes the table where it is missing, and closes the rows of a migration that failed earlier, as
 * `prisma migrate resolve --rolled-back` does.
 */
async function prepare(client: pg.ClientBase, file: MigrationFile): Promise<void> {
  if (!(await tableExists(client))) await client.query(CREATE)
  await client.query(
    `UPDATE _prisma_migrations SET rolled_back_at = clock_timestamp()
     WHERE migration_name = $1 AND finished_at IS NULL AND rolled_back_at IS NULL`,
    [file.name],
  )
}

async function begin(client: pg.ClientBase, file: MigrationFile): Promise<string> {
  await prepare(client, file)
  const id = randomUUID()
  await client.query(
    `INSERT INTO _prisma_migrations (id, checksum, started_at, migration_name) VALUES ($1, $2, clock_timestamp(), $3)`,
    [id, file.checksum, file.name],
  )
  return id
}

/** The row of a migration around its script, in the caller's transaction. */
export async function recordApplied(
  client: pg.ClientBase,
  file: MigrationFile,
  run: () => Promise<unknown>,
): Promise<void> {
  const id = await begin(client, file)
  await run()
  await client.query(
    `UPDATE _prisma_migrations SET applied_steps_count = 1, finished_at = clock_timestamp() WHERE id = $1`,
    [id],
  )
}

/** The row of a migration that failed and left no changes: unfinished, with the server's message. */
export async function recordFailed(client: pg.ClientBase, file: MigrationFile, logs: string): Promise<void> {
  const id = await begin(client, file)
  await client.query(`UPDATE _prisma_migrations SET logs = $1 WHERE id = $2`, [logs, id])
}
