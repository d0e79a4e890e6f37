import { tlsFault, type TlsFault } from '@sealfleet/config'
import { POSTGRES_KINDS, POSTGRES_STATES, PRISMA_CODES } from '@sealfleet/failures'
import { said } from '@sealfleet/telemetry/text'
import { connectionFailure } from './connection-failure.js'
import { RecordsError, type RecordsErrorCode } from './errors.js'
import { lacksRight, missingRight } from './missing-right.js'

/** The facts in an error of pg, of Prisma's adapter or of Prisma's client, at any depth of its causes. */
interface Findings {
  sqlState?: string
  constraint?: string
  /** Prisma's P-codes, Node's errno codes and the adapter's kinds, outermost first. */
  readonly codes: string[]
  /** Without row contents: `detail` and `where` are never copied. */
  message?: string
}

/**
 * SQLSTATE, whole or by its beginning; the longest match wins. The codes of a connection's errors, and those of broken
 * rules of the schema.
 */
const BY_SQL_STATE: Readonly<Record<string, RecordsErrorCode>> = {
  ...POSTGRES_STATES,
  '22': 'INVALID', // a value out of range, not a UUID, a NUL in text
  '23502': 'INVALID',
  '23503': 'NOT_FOUND', // a foreign key: what it names does not exist
  '23505': 'CONFLICT',
  '23514': 'INVALID',
}

/** Node's errno, Prisma's codes and the adapter's kinds. */
const BY_CODE: Readonly<Record<string, RecordsErrorCode>> = {
  ...PRISMA_CODES,
  ...POSTGRES_KINDS,
  ECONNREFUSED: 'DB_UNAVAILABLE',
  ECONNRESET: 'DB_UNAVAILABLE',
  EPIPE: 'DB_UNAVAILABLE',
  ETIMEDOUT: 'DB_UNAVAILABLE',
  ENOTFOUND: 'DB_UNAVAILABLE',
  EAI_AGAIN: 'DB_UNAVAILABLE',
  EAI_FAIL: 'DB_UNAVAILABLE',
  EAI_NODATA: 'DB_UNAVAILABLE',
  ECONNABORTED: 'DB_UNAVAILABLE',
  EADDRNOTAVAIL: 'DB_UNAVAILABLE',
  EHOSTDOWN: 'DB_UNAVAILABLE',
  ENETDOWN: 'DB_UNAVAILABLE',
  EHOSTUNREACH: 'DB_UNAVAILABLE',
  ENETUNREACH: 'DB_UNAVAILABLE',
  ENOENT: 'DB_UNAVAILABLE', // a socket's path
  EACCES: 'DB_ACCESS_DENIED', // a socket that is not ours
  P2032: 'RECORD_DAMAGED', // NULL, or a value of another type, where the schema wants one
  P2023: 'RECORD_DAMAGED',
}

/** pg has no codes for these. */
const TIMEOUTS =
  /timeout exceeded when trying to connect|query read timeout|connection terminated|client has encountered a connection error|timeout expired|cannot use a pool after calling end/i

const FIX: Partial<Record<RecordsErrorCode, string>> = {
  DB_UNAVAILABLE: 'check that PostgreSQL runs at the address in SEALFLEET_DATABASE_URL and has connections to spare',
  DB_ACCESS_DENIED: 'check user, password and TLS settings in SEALFLEET_DATABASE_URL, and the rights of that user',
  DB_SCHEMA: 'check the database name in SEALFLEET_DATABASE_URL and run `npm run migrate`',
}

const SUMMARY: Record<RecordsErrorCode, string> = {
  DB_UNAVAILABLE: 'the database is out of reach',
  DB_ACCESS_DENIED: 'the database refused us',
  DB_TLS: 'TLS to the database could not be set up',
  DB_SCHEMA: 'the database or its tables are missing or not of this version',
  DB_URL: 'the database URL is wrong',
  FENCED: 'the lease is lost',
  NO_ACTIVE_KEY: 'no active master key',
  E_KEY_UNKNOWN: 'a master key is not registered',
  RECORD_DAMAGED: 'a row is not as the schema has it',
  NONCE_REUSE: 'a nonce was used before under this master key',
  NOT_FOUND: 'it names something that does not exist',
  CONFLICT: 'something of that name exists already',
  BAD_STATE: 'the present state does not allow that',
  INVALID: 'a value breaks a rule of the schema',
  HELD: 'a hold forbids it',
  REQUEST_NEEDED: 'it needs a signed request',
  REQUEST_EXPIRED: 'the request has expired',
  REQUEST_USED: 'the request was used',
  REQUEST_CANCELLED: 'the request was cancelled',
  REQUEST_UNSIGNED: 'signatures are missing',
  REQUEST_MISMATCH: 'the request is for something else',
  SIGNATURE_INVALID: 'the signature does not fit',
  OPERATOR_UNKNOWN: 'no such operator',
  OPERATOR_REVOKED: 'the operator was revoked',
  OPERATOR_TWICE: 'the operator has signed it already',
  OPERATOR_ROLE: 'the operator’s role does not allow that',
  OPERATOR_NEEDED: 'too few officers would be left',
  DB_ERROR: 'the database refused the statement',
}

/**
 * Classes whose messages from the server concern the connection or the statement, never a row's values. Those stand in
 * `detail` and `where`, which are not copied, and in messages of class 22, which is INVALID.
 */
const MESSAGE_IS_SAFE = new Set<RecordsErrorCode>(['DB_UNAVAILABLE', 'DB_ACCESS_DENIED', 'DB_SCHEMA', 'DB_ERROR'])

/**
 * Turns any error of the driver into a RecordsError; a RecordsError passes unchanged. A value that broke a rule is not
 * repeated, only the rule's name.
 * @param sql the text of the statement, without its values: shows which right is missing
 */
export function recordsError(error: unknown, sql?: string): RecordsError {
  if (error instanceof RecordsError) return error
  const tls = tlsFault(error, 'database')
  if (tls !== undefined) return tlsError(error, tls)
  const found: Findings = { codes: [] }
  look(error, found, new Set())
  const failure = connectionFailure(found.sqlState, found.message)
  if (failure !== undefined) {
    const cause = Object.assign(new Error(found.message), { name: error instanceof Error ? error.name : 'Error' })
    const { sqlState } = found
    const details = { cause, fix: failure.fix, ...(sqlState !== undefined && { sqlState }) }
    return new RecordsError(failure.code, failure.message, details)
  }
  const code = codeOf(found)
  if (found.sqlState === NO_RIGHT) {
    const missing = missingRight(found.message ?? '', sql)
    if (missing !== undefined) return lacksRight(missing, found.message)
  }
  const message = found.message !== undefined && MESSAGE_IS_SAFE.has(code) ? said(found.message) : undefined
  const rule = found.constraint === undefined ? '' : ` (${found.constraint})`
  const cause = new Error(message ?? found.codes.join(' '))
  cause.name = error instanceof Error ? error.name : 'Error'
  const fix = FIX[code]
  return new RecordsError(code, `${SUMMARY[code]}${rule}${message === undefined ? '' : `: ${message}`}`, {
    cause,
    ...(found.sqlState !== undefined && { sqlState: found.sqlState }),
    ...(found.constraint !== undefined && { constraint: found.constraint }),
    ...(fix !== undefined && { fix }),
  })
}

function tlsError(error: unknown, { why, fix }: TlsFault): RecordsError {
  const cause = new Error(why)
  cause.name = error instanceof Error ? error.name : 'Error'
  return new RecordsError('DB_TLS', `the database ${why}`, { cause, fix })
}

/** insufficient_privilege */
const NO_RIGHT = '42501'

function codeOf(found: Findings): RecordsErrorCode {
  const { sqlState, constraint } = found
  if (sqlState === '23505' && constraint !== undefined && /^attempts_(enc|sig)_key_id_nonce_id/.test(constraint))
    return 'NONCE_REUSE'
  if (sqlState === '23514' && constraint?.endsWith('_transition')) return 'BAD_STATE'
  if (sqlState === '23514' && constraint === 'requests_single_use') return 'REQUEST_USED'
  if (sqlState !== undefined) {
    const prefix = [5, 4, 3, 2].map((n) => sqlState.slice(0, n)).find((p) => p in BY_SQL_STATE)
    if (prefix !== undefined) return BY_SQL_STATE[prefix] ?? 'DB_ERROR'
  }
  for (const code of found.codes) {
    const mapped = BY_CODE[code]
    if (mapped !== undefined) return mapped
  }
  return found.message !== undefined && TIMEOUTS.test(found.message) ? 'DB_UNAVAILABLE' : 'DB_ERROR'
}

function look(error: unknown, found: Findings, seen: Set<unknown>): void {
  if (typeof error !== 'object' || error === null || seen.has(error)) return
  seen.add(error)
  const e = error as Record<string, unknown>
  for (const code of [e['originalCode'], e['code'], e['kind']]) {
    if (typeof code !== 'string') continue
    // A SQLSTATE is five characters too, as are Prisma's P-codes and EPIPE.
    if (/^[0-9][0-9A-Z]{4}$/.test(code) || code === 'XX000') found.sqlState ??= code
    else if (!found.codes.includes(code)) found.codes.push(code)
  }
  const message = [e['originalMessage'], e['message'], e['reason']].find((m) => typeof m === 'string' && m !== '')
  if (typeof message === 'string' && (found.message === undefined || 'originalMessage' in e || 'errno' in e)) {
    found.message = message.split('\n').at(-1) ?? message
  }
  const constraint = constraintOf(e, message)
  if (constraint !== undefined) found.constraint ??= constraint
  for (const next of [e['cause'], e['meta'], e['driverAdapterError'], e['error']]) look(next, found, seen)
  if (Array.isArray(e['errors'])) for (const next of e['errors']) look(next, found, seen)
}

function constraintOf(e: Record<string, unknown>, message: unknown): string | undefined {
  const constraint = e['constraint']
  if (typeof constraint === 'string') return constraint
  if (typeof constraint === 'object' && constraint !== null && 'index' in constraint) return String(constraint.index)
  if (typeof message !== 'string') return undefined
  // The adapter drops the name of a CHECK; the server's message contains it, or begins with it, as our triggers' do
  // (session.ts).
  return /constraint "([a-z0-9_]+)"/.exec(message)?.[1] ?? /(?:^|`)([a-z]+(?:_[a-z0-9]+)+): /.exec(message)?.[1]
}
