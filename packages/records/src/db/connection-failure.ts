import type { RecordsErrorCode } from './errors.js'

/** Why a session could not be opened, where the server's or the driver's own words need interpretation. */
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

/** @returns undefined for a failure of another kind, which its code and SQLSTATE identify */
export function connectionFailure(
  sqlState: string | undefined,
  said: string | undefined,
): ConnectionFailure | undefined {
  if (said === undefined || (sqlState !== undefined && !/^(08|28)/.test(sqlState))) return undefined
  for (const [words, code, what, fix, state] of SAID) {
    // A server's own sentence may be in any language (lc_messages); pgbouncer's are English.
    const found = sqlState !== undefined && sqlState === state ? /^/.exec(said) : words.exec(said)
    if (found !== null)
      return { code, message: `${what.replace('$name', found.groups?.['name']?.trim() ?? '')} (“${said}”)`, fix }
  }
  return undefined
}
