import pg from 'pg'
import { RecordsError } from './errors.js'
import type { DatabaseAddress } from './database-url.js'

/**
 * The settings that give our statements their intended meaning, whatever the defaults of the server, the database, the
 * role and the client's environment. https://www.postgresql.org/docs/current/runtime-config-client.html
 */
const PINNED = {
  TimeZone: 'UTC',
  DateStyle: 'ISO, MDY',
  IntervalStyle: 'postgres',
  standard_conforming_strings: 'on',
  extra_float_digits: '1',
  bytea_output: 'hex',
  array_nulls: 'on',
  default_transaction_isolation: 'read committed',
} as const

/** The start-up parameters that pgbouncer keeps for each client, whatever session serves it. */
const KEPT_BY_POOLER: readonly string[] = ['TimeZone', 'DateStyle', 'standard_conforming_strings']

/** In milliseconds; zero is no limit. */
export interface SessionTimeouts {
  readonly statementMs: number
  readonly lockMs: number
  readonly idleInTransactionMs: number
}

/** The search path: our schema, then temporary tables, so that none takes the place of ours. */
function searchPath(schema: string): string {
  return `${pg.escapeIdentifier(schema)}, pg_temp`
}

/** All settings of a session, by name. */
export function sessionSettings(schema: string, timeouts: SessionTimeouts): Readonly<Record<string, string>> {
  return {
    ...PINNED,
    search_path: searchPath(schema),
    statement_timeout: String(timeouts.statementMs),
    lock_timeout: String(timeouts.lockMs),
    idle_in_transaction_session_timeout: String(timeouts.idleInTransactionMs),
  }
}

/** The settings that a session begins with. Behind a pooler the others are the role's. */
export function startupSettings(address: DatabaseAddress, timeouts: SessionTimeouts): Readonly<Record<string, string>> {
  const all = Object.entries(sessionSettings(address.schema, timeouts))
  return Object.fromEntries(address.pooled ? all.filter(([name]) => KEPT_BY_POOLER.includes(name)) : all)
}

/** One setting of a session with a wrong value. */
export interface Difference {
  readonly name: string
  readonly seen: string
  readonly wanted: string
}

const LOOK = `SELECT name, setting FROM pg_settings WHERE name = ANY ($1::text[])
  UNION ALL SELECT 'schema', coalesce(current_schema(), '')
  UNION ALL SELECT 'server_encoding', current_setting('server_encoding')`

/** Settings of a session that our statements cannot work with. Empty unless a pooler stands between. */
export async function sessionDifferences(
  db: { query(sql: string, values: unknown[]): Promise<{ rows: { name: string; setting: string }[] }> },
  schema: string,
): Promise<Difference[]> {
  const { rows } = await db.query(LOOK, [Object.keys(PINNED)])
  const seen = new Map(rows.map(({ name, setting }) => [name, setting]))
  const wanted = { ...PINNED, schema, server_encoding: 'UTF8' }
  return Object.entries(wanted).flatMap(([name, value]) => {
    const found = seen.get(name) ?? ''
    const fine = name === 'extra_float_digits' ? Number(found) >= Number(value) : found === value
    return fine ? [] : [{ name, seen: found, wanted: value }]
  })
}

/** @throws RecordsError DB_URL or DB_SCHEMA for the first differences, with the settings to change */
export function refuseDifferences(differences: readonly Difference[], address: DatabaseAddress): void {
  if (differences.length === 0) return
  const told = differences.map(({ name, seen, wanted }) => `${name} is "${seen}" and must be "${wanted}"`).join('; ')
  const encoding = differences.find(({ name }) => name === 'server_encoding')
  if (encoding !== undefined)
    throw new RecordsError('DB_SCHEMA', `the database is of another encoding: ${told}`, {
      fix: "make the database with ENCODING 'UTF8' TEMPLATE template0",
    })
  const missing = differences.find(({ name }) => name === 'schema')
  if (missing !== undefined && differences.length === 1 && !address.pooled)
    throw new RecordsError('DB_SCHEMA', `there is no schema "${address.schema}" that this user may use`, {
      fix: 'run `npm run migrate`, or correct schema= in SEALFLEET_DATABASE_URL',
    })
  const sets = differences.map(({ name, wanted }) =>
    name === 'schema' ? `search_path = ${pg.escapeIdentifier(wanted)}` : `${name} = ${pg.escapeLiteral(wanted)}`,
  )
  throw new RecordsError('DB_URL', `a connection pooler does not pass on what our sessions need: ${told}`, {
    fix: `set it for the user: ${sets.map((set) => `ALTER ROLE ${pg.escapeIdentifier(address.user)} SET ${set};`).join(' ')} then reconnect the pooler (RECONNECT)`,
  })
}
