import type { RecordsErrorCode } from '../errors.js'

/** Why no session came about, where the server's or the driver's own words need a reader who knows them. */
export interface ConnectionFailure {
  readonly code: RecordsErrorCode
  readonly message: string
  readonly fix: string
}

const CERTIFICATE: Readonly<Record<string, string>> = {
  ERR_TLS_CERT_ALTNAME_INVALID:
    'use a host name that is in the certificate, or set SEALFLEET_DATABASE_TLS_SERVER_NAME to one',
  CERT_HAS_EXPIRED: 'renew the server’s certificate, and look at this machine’s clock',
  CERT_NOT_YET_VALID: 'look at this machine’s clock',
  CERT_REVOKED: 'give the server another certificate',
}

const NOT_TRUSTED = new Set([
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'CERT_SIGNATURE_FAILURE',
  'CERT_CHAIN_TOO_LONG',
  'CERT_UNTRUSTED',
  'CERT_REJECTED',
  'INVALID_CA',
  'INVALID_PURPOSE',
])

/** What a pooler or a server says before a session is there: by its words, since pgbouncer has one SQLSTATE for all of it. */
const SAID: readonly (readonly [RegExp, RecordsErrorCode, what: string, fix: string])[] = [
  [
    /unsupported startup parameter[^:]*: ?(?<name>[\w, ]*)/i,
    'DB_URL',
    'a connection pooler (pgbouncer) refuses the start-up parameter $name',
    'add pgbouncer=true to the parameters of SEALFLEET_DATABASE_URL',
  ],
  [
    /does not support SSL connections/i,
    'DB_ACCESS_DENIED',
    'the server has no TLS, which the URL demands',
    'turn TLS on at the server, or write sslmode=disable in SEALFLEET_DATABASE_URL',
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
  ],
]

/** @returns undefined for what is no failure of this kind, which is told by its code and SQLSTATE */
export function connectionFailure(
  codes: readonly string[],
  sqlState: string | undefined,
  said: string | undefined,
): ConnectionFailure | undefined {
  for (const code of codes) {
    const fix =
      CERTIFICATE[code] ??
      (NOT_TRUSTED.has(code) ? 'name the file of its CA: SEALFLEET_DATABASE_TLS_CA_FILE' : undefined)
    if (fix !== undefined)
      return { code: 'DB_ACCESS_DENIED', message: `the server’s TLS certificate is not accepted: ${said ?? code}`, fix }
    if (code.startsWith('ERR_SSL_') || code === 'EPROTO')
      return {
        code: 'DB_ACCESS_DENIED',
        message: `TLS with the server failed: ${said ?? code}`,
        fix: 'check sslmode, sslcert and sslkey in SEALFLEET_DATABASE_URL',
      }
  }
  if (said === undefined || (sqlState !== undefined && !/^(08|28)/.test(sqlState))) return undefined
  for (const [words, code, what, fix] of SAID) {
    const found = words.exec(said)
    if (found !== null)
      return { code, message: `${what.replace('$name', found.groups?.['name']?.trim() ?? '')} (“${said}”)`, fix }
  }
  return undefined
}
