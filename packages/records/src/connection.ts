import { checkServerIdentity, type ConnectionOptions as TlsConnectionOptions } from 'node:tls'
import pg from 'pg'
import { RecordsError } from './errors.js'

export interface ConnectionOptions {
  /** Shown in pg_stat_activity. */
  readonly applicationName?: string
  /** The server ends a statement after this many milliseconds. Default 15,000. */
  readonly statementTimeoutMs?: number
  /** Reaching the server, or waiting for a free connection, fails after this many milliseconds. Default 5,000. */
  readonly connectTimeoutMs?: number
  /** Most connections held at once. Default 10. */
  readonly poolSize?: number
  /** TLS beside what the URL says; given, it stands for `sslmode=verify-full` where the URL has no mode. */
  readonly tls?: DatabaseTls | undefined
}

/** In Node's own words; `servername` is the name that the server's certificate must have. */
export type DatabaseTls = Pick<TlsConnectionOptions, 'ca' | 'cert' | 'key' | 'servername'>

/** The parts of a connection, apart: Prisma's adapter does its shadow-database work in the real database when it is given a URL. */
export interface ConnectionFields {
  readonly host: string
  readonly port: number
  readonly user: string
  readonly password?: string
  readonly database: string
  readonly ssl?: boolean | object
}

/**
 * Takes a postgres:// URL apart, the way the driver itself reads it.
 * @throws RecordsError DB_URL that never repeats the URL, which may hold a password
 */
export function connectionFields(databaseUrl: string, tls?: DatabaseTls): ConnectionFields {
  if (!/^postgres(ql)?:\/\//.test(databaseUrl)) throw badUrl('it must begin with postgres://')
  let client: pg.Client & { readonly ssl: boolean | object }
  try {
    client = new pg.Client({ connectionString: databaseUrl })
  } catch {
    throw badUrl('it can not be parsed (a password may need percent-encoding)')
  }
  const { host, port, user, database, password } = client
  const ssl = tls === undefined ? client.ssl : verifiedTls(client.ssl, tls)
  if (!database) throw badUrl('it names no database')
  if (!user) throw badUrl('it names no user')
  return {
    host,
    port,
    user,
    database,
    ...(typeof password === 'string' ? { password } : {}),
    ...(ssl ? { ssl } : {}),
  }
}

/**
 * The server is always authenticated. The driver sets its own `servername` (the host) for SNI over ours, so the name that the
 * certificate must have is compared here.
 */
function verifiedTls(fromUrl: boolean | object, { servername, ...tls }: DatabaseTls): TlsConnectionOptions {
  const url = typeof fromUrl === 'object' ? (fromUrl as TlsConnectionOptions) : {}
  return {
    ...url,
    // The driver keeps it out of listings of the object.
    ...(url.key !== undefined && { key: url.key }),
    ...tls,
    rejectUnauthorized: true,
    ...(servername !== undefined && { checkServerIdentity: (_host, cert) => checkServerIdentity(servername, cert) }),
  }
}

function badUrl(why: string): RecordsError {
  return new RecordsError(
    'DB_URL',
    `the database URL is wrong: ${why}; want postgres://user:password@host:port/database`,
  )
}

/**
 * Configuration of the driver's pool with a time-out on everything: reaching the server, a statement (by the server, and
 * a little later by ourselves in case the server is gone without a word), a lock, an idle transaction.
 */
export function poolConfig(databaseUrl: string, options: ConnectionOptions = {}): pg.PoolConfig {
  const statementMs = options.statementTimeoutMs ?? 15_000
  return {
    ...connectionFields(databaseUrl, options.tls),
    application_name: options.applicationName ?? 'sealfleet',
    max: options.poolSize ?? 10,
    connectionTimeoutMillis: options.connectTimeoutMs ?? 5_000,
    statement_timeout: statementMs,
    query_timeout: statementMs + 2_000,
    lock_timeout: statementMs,
    idle_in_transaction_session_timeout: statementMs * 2,
    idleTimeoutMillis: 30_000,
    keepAlive: true,
    allowExitOnIdle: true,
  }
}
