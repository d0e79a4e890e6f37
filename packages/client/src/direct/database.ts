import { databaseTransport } from '@sealfleet/config'
import { SealfleetError } from '../sealfleet-error.js'
import type { DirectClientOptions, PgPool } from './terms.js'

/** Statements of one connection, or of any. */
export type Query = (text: string, values: unknown[]) => Promise<readonly unknown[]>

export interface Database {
  readonly query: Query
  readonly pool: PgPool
  close(): Promise<void>
}

/** The server ends a statement after these many milliseconds; so does the driver, a little later. */
const STATEMENT_MS = 15_000
const CONNECT_MS = 5_000

/** @throws {SealfleetError} CONFIG_INVALID before anything is sent; ERR_MODULE_NOT_FOUND without `pg` */
export async function openDatabase(options: DirectClientOptions): Promise<Database> {
  if (options.pool !== undefined) return over(options.pool, () => Promise.resolve())
  const { databaseUrl, allowPlaintext = false, onError } = options
  if (!URL.canParse(databaseUrl) || !/^postgres(ql)?:\/\//.test(databaseUrl))
    throw new SealfleetError('CONFIG_INVALID', 'the database URL cannot be read', {
      fix: 'Write postgres://user:password@host:5432/database; special characters of a password are written as %XX.',
    })
  const transport = databaseTransport(databaseUrl, false)
  if (!allowPlaintext && (transport === 'plaintext' || transport === 'unverified'))
    throw new SealfleetError('CONFIG_INVALID', `Postgres is beyond this machine, and its URL has no checked TLS`, {
      fix: 'Add sslmode=verify-full to the URL (or give a `pool` of your own with your authority’s certificate); or allow it with `allowPlaintext: true`, for a network that no one else is in.',
    })
  const { default: pg } = await import('pg')
  const pool = new pg.Pool({
    connectionString: databaseUrl,
    application_name: 'sealfleet-client',
    max: 4,
    connectionTimeoutMillis: CONNECT_MS,
    statement_timeout: STATEMENT_MS,
    query_timeout: STATEMENT_MS + 2_000,
    allowExitOnIdle: true,
  })
  // Without a listener, a connection that breaks while it is idle would end the process.
  pool.on('error', (error: Error) => onError?.(error))
  return over(pool, () => pool.end())
}

function over(pool: PgPool, close: () => Promise<void>): Database {
  return { pool, close, query: async (text, values) => (await pool.query(text, values)).rows }
}
