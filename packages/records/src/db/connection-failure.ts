import type { RecordsErrorCode } from './errors.js'
import { STALE_PLAN } from './statement-names.js'

/** Why a session could not be opened or used, where the server's or the driver's own words need interpretation. */
export interface ConnectionFailure {
  readonly code: RecordsErrorCode
  readonly message: string
  readonly fix: string
}

/**
 * Refusals of a pooler or a server before a session exists: told by their words, since pgbouncer has one SQLSTATE for
 * all.
 */
const SAID: readonly (readonly [RegExp, RecordsErrorCode, what: string, fix: string, sqlState?: string])[] = [
  [
    /unsupported startup parameter[^:]*: ?(?<name>[\w, ]*)/i,
    'DB_URL',
    'a connection pooler (pgbouncer) refuses the start-up parameter $name',
    'add pgbouncer=true to the parameters of SEALFLEET_DATABASE_URL',
  ],
  [
    /SSL required|no encryption|SSL off/i,
    'DB_ACCESS_DENIED',
    'the server refuses connections without TLS',
    'write sslmode=verify-full in SEALFLEET_DATABASE_URL',
  ],
  [/no such database/i, 'DB_SCHEMA', 'the pooler knows no such database', 'check the database name in the URL'],
  [
    /no such user|authentication failed|auth failed/i,
    'DB_ACCESS_DENIED',
    'user or password is refused',
    'check user and password in SEALFLEET_DATABASE_URL',
    '28P01',
  ],
]

/** Refusals of a session that lives: told by SQLSTATE, since the words are in the server's language. */
const BY_STATE: Readonly<Record<string, ConnectionFailure>> = {
  // Outside of a transaction the statement was asked again (client.ts).
  [STALE_PLAN]: {
    code: 'DB_UNAVAILABLE',
    message: 'the tables were changed while a transaction used them',
    fix: 'try again: the next transaction knows the new tables',
  },
  // A prepared statement is not in this session, or another client's of that name is.
  ...Object.fromEntries(
    ['26000', '42P05'].map((state) => [
      state,
      {
        code: 'DB_URL',
        message: 'a connection pooler in transaction mode stands between, and the URL does not say so',
        fix: 'add pgbouncer=true to the parameters of SEALFLEET_DATABASE_URL',
      },
    ]),
  ),
}

/** @returns undefined for a failure of another kind, which its code and SQLSTATE identify */
export function connectionFailure(
  sqlState: string | undefined,
  said: string | undefined,
): ConnectionFailure | undefined {
  const known = BY_STATE[sqlState ?? '']
  if (known !== undefined) return known
  if (said === undefined || (sqlState !== undefined && !/^(08|28)/.test(sqlState))) return undefined
  for (const [words, code, what, fix, state] of SAID) {
    // A server's own sentence may be in any language (lc_messages); pgbouncer's are English.
    const found = sqlState !== undefined && sqlState === state ? /^/.exec(said) : words.exec(said)
    if (found !== null)
      return { code, message: `${what.replace('$name', found.groups?.['name']?.trim() ?? '')} (“${said}”)`, fix }
  }
  return undefined
}
