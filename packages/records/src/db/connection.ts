import type pg from 'pg'
import { clientClass } from './client.js'
import { parseDatabaseUrl, type DatabaseAddress, type DatabaseTls } from './database-url.js'

export interface ConnectionOptions {
  /** Shown in pg_stat_activity, unless the URL has an application_name. */
  readonly applicationName?: string
  /** The server ends a statement after this many milliseconds. Default 15,000. */
  readonly statementTimeoutMs?: number
  /** Reaching the server, or waiting for a free connection, fails after this many milliseconds. Default 5,000. */
  readonly connectTimeoutMs?: number
  /** Most connections held at once. Default 10. */
  readonly poolSize?: number
  /** TLS beyond the URL's own; if given, it implies `sslmode=verify-full` when the URL has no mode. */
  readonly tls?: DatabaseTls | undefined
}

/** The driver's fields of an address. All are given, so that none comes from the environment (PGHOST, PGSSLMODE, …). */
export function driverFields(address: DatabaseAddress) {
  const { host, port, user, password, database, ssl } = address
  return { host, port, user, database, ssl, ...(password !== undefined && { password }) }
}

/**
 * Configuration of the driver's pool with a time-out on everything: reaching the server, a statement (by the server,
 * and a little later by ourselves in case the server vanished silently), a lock, an idle transaction. Behind a pooler
 * in transaction mode the server's time-outs are those of the role.
 * @throws RecordsError DB_URL
 */
export function poolConfig(
  databaseUrl: string,
  options: ConnectionOptions = {},
): { readonly address: DatabaseAddress; readonly pool: pg.PoolConfig & { Client: typeof pg.Client } } {
  const address = parseDatabaseUrl(databaseUrl, options.tls)
  const statementMs = options.statementTimeoutMs ?? 15_000
  const timeouts = { statementMs, lockMs: statementMs, idleInTransactionMs: statementMs * 2 }
  return {
    address,
    pool: {
      ...driverFields(address),
      Client: clientClass(address, options.applicationName ?? 'sealfleet', timeouts),
      max: options.poolSize ?? 10,
      connectionTimeoutMillis: address.connectTimeoutMs ?? options.connectTimeoutMs ?? 5_000,
      query_timeout: statementMs + 2_000,
      idleTimeoutMillis: 30_000,
      keepAlive: true,
      allowExitOnIdle: true,
    },
  }
}
