import { readFileSync } from 'node:fs'
import { checkServerIdentity, type ConnectionOptions as TlsConnectionOptions, type PeerCertificate } from 'node:tls'
import pg from 'pg'
import { RecordsError } from './errors.js'

/** TLS from outside of the URL, in Node's terms; any of these turns TLS on. PEM texts, not paths. */
export type DatabaseTls = Pick<TlsConnectionOptions, 'ca' | 'cert' | 'key' | 'servername'>

/** A parsed database URL. Only a missing user name comes from the process's environment. */
export interface DatabaseAddress {
  /** A host's name, an address, or the folder of the server's socket. */
  readonly host: string
  readonly port: number
  readonly user: string
  readonly password?: string
  readonly database: string
  readonly ssl: false | TlsConnectionOptions
  /** The schema of the tables. */
  readonly schema: string
  /** A pooler in transaction mode stands between: sessions use only settings that it keeps for a client. */
  readonly pooled: boolean
  readonly applicationName?: string
  readonly connectTimeoutMs?: number
}

const FORM =
  /^postgres(?:ql)?:\/\/(?:(?<userinfo>[^/?#]*)@)?(?<host>[^/?#]*)(?:\/(?<database>[^?#]*))?(?:\?(?<query>[^#]*))?$/

/** Other parameters that libpq, Prisma or the driver know, and what to do instead. */
const INSTEAD: Readonly<Record<string, string>> = {
  options: 'the session’s settings are ours; for search_path write schema=NAME, for others ALTER ROLE … SET',
  connection_limit: 'set SEALFLEET_DATABASE_POOL_SIZE',
  pool_timeout: 'set SEALFLEET_DATABASE_CONNECT_TIMEOUT_MS',
  socket_timeout: 'set SEALFLEET_DATABASE_STATEMENT_TIMEOUT_MS',
  statement_timeout: 'set SEALFLEET_DATABASE_STATEMENT_TIMEOUT_MS',
  ssl: 'write sslmode=require or sslmode=disable',
  sslaccept: 'write sslmode=verify-full',
  sslidentity: 'write sslcert=FILE and sslkey=FILE',
  target_session_attrs: 'name the server that takes writes',
  search_path: 'write schema=NAME',
}
const KNOWN =
  'host, port, user, password, dbname, schema, pgbouncer, sslmode, sslrootcert, sslcert, sslkey, application_name, connect_timeout'

/**
 * Parses a postgres:// URL as libpq does, socket folders included. A parameter that is not honoured is refused.
 * @throws RecordsError DB_URL; it never repeats a value, which may be a password
 */
export function parseDatabaseUrl(text: string, tls: DatabaseTls = {}): DatabaseAddress {
  if (!/^postgres(ql)?:\/\//.test(text)) throw badUrl('it must begin with postgres://')
  const parts = FORM.exec(text)?.groups
  if (parts === undefined) throw badUrl('it cannot be parsed (a password may need percent-encoding)')
  const given = parameters(parts['query'] ?? '')
  const [user, password] = splitOnce(parts['userinfo'] ?? '', ':')
  const [host, port] = hostAndPort(parts['host'] ?? '')
  const pick = (name: string, inPath: string | undefined, what: string): string | undefined =>
    given.get(name) ?? (inPath === undefined || inPath === '' ? undefined : decode(inPath, what))
  const database = pick('dbname', parts['database'], 'database name')
  const name = pick('user', user, 'user name') ?? pg.defaults.user
  if (database === undefined) throw badUrl('it names no database')
  if (name === undefined || name === '') throw badUrl('it names no user')
  const secret = pick('password', password, 'password')
  const server = pick('host', host, 'host') ?? 'localhost'
  if (server.includes(',')) throw badUrl('it names several hosts, and only one is used')
  const applicationName = given.get('application_name')
  const seconds = given.get('connect_timeout')
  return {
    host: server,
    port: wholeNumber(given.get('port') ?? (port || '5432'), 'port', 65_535),
    user: name,
    ...(secret !== undefined && { password: secret }),
    database,
    ssl: tlsOf(given, tls, server),
    schema: given.get('schema') ?? 'public',
    pooled: flag(given.get('pgbouncer')),
    ...(applicationName !== undefined && { applicationName }),
    ...(seconds !== undefined && { connectTimeoutMs: wholeNumber(seconds, 'connect_timeout', 3_600) * 1_000 }),
  }
}

const HONOURED = new Set(KNOWN.split(', '))

function parameters(query: string): Map<string, string> {
  const given = new Map<string, string>()
  for (const pair of query === '' ? [] : query.split('&')) {
    const [rawName, rawValue] = splitOnce(pair, '=')
    const name = decode(rawName, 'name of a parameter')
    if (!HONOURED.has(name)) throw badParameter(name, INSTEAD[name] ?? `the parameters are ${KNOWN}`)
    if (given.has(name)) throw badParameter(name, 'it stands there twice')
    const value = decode(rawValue ?? '', `value of ${name}`)
    if (value === '') throw badParameter(name, 'it has no value')
    given.set(name, value)
  }
  return given
}

function tlsOf(given: ReadonlyMap<string, string>, tls: DatabaseTls, host: string): false | TlsConnectionOptions {
  const mode = given.get('sslmode')
  const files = ['sslrootcert', 'sslcert', 'sslkey'].filter((name) => given.has(name))
  const wanted = files.length > 0 || Object.values(tls).some((value) => value !== undefined)
  if (mode === undefined ? !wanted : mode === 'disable') {
    if (wanted) throw badParameter('sslmode', 'sslmode=disable contradicts the certificates that are given')
    return false
  }
  if (mode !== undefined && !['require', 'verify-ca', 'verify-full', 'no-verify'].includes(mode))
    throw badParameter('sslmode', 'write disable, no-verify, or verify-full (as which require and verify-ca are taken)')
  if (host.startsWith('/')) throw badParameter('sslmode', 'a server’s socket has no TLS')
  const verified = mode !== 'no-verify'
  const name = tls.servername ?? host
  const ca = pem(given, 'sslrootcert') ?? tls.ca
  const cert = pem(given, 'sslcert') ?? tls.cert
  const key = pem(given, 'sslkey') ?? tls.key
  return {
    rejectUnauthorized: verified,
    checkServerIdentity: (_: string, certificate: PeerCertificate) =>
      verified ? checkServerIdentity(name, certificate) : undefined,
    ...(ca !== undefined && { ca }),
    ...(cert !== undefined && { cert }),
    ...(key !== undefined && { key }),
    ...(tls.servername !== undefined && { servername: tls.servername }),
  }
}

function pem(given: ReadonlyMap<string, string>, name: string): string | undefined {
  const path = given.get(name)
  if (path === undefined || path === 'system') return undefined
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    throw badParameter(name, `its file cannot be read (${(error as NodeJS.ErrnoException).code ?? 'error'})`)
  }
}

function hostAndPort(authority: string): [host: string, port: string | undefined] {
  const inBrackets = /^\[([^\]]*)\](?::(.*))?$/.exec(authority)
  if (inBrackets !== null) return [inBrackets[1] ?? '', inBrackets[2]]
  const [host, port] = splitOnce(authority, ':')
  if (host === '' && port !== undefined) throw badUrl('it names a port and no host')
  return [host, port]
}

function splitOnce(text: string, separator: string): [before: string, after: string | undefined] {
  const at = text.indexOf(separator)
  return at === -1 ? [text, undefined] : [text.slice(0, at), text.slice(at + separator.length)]
}

function decode(text: string, what: string): string {
  try {
    const decoded = decodeURIComponent(text)
    if (decoded.includes('\0')) throw badUrl(`the ${what} holds a NUL`)
    return decoded
  } catch (error) {
    if (error instanceof RecordsError) throw error
    throw badUrl(`the ${what} has a percent sign that no two digits follow (a percent sign itself is written %25)`)
  }
}

function wholeNumber(text: string, what: string, most: number): number {
  const value = /^\d{1,9}$/.test(text) ? Number(text) : 0
  if (value < 1 || value > most) throw badUrl(`the ${what} is not a whole number from 1 to ${most}`)
  return value
}

function flag(text: string | undefined): boolean {
  if (text !== undefined && text !== 'true' && text !== 'false') throw badParameter('pgbouncer', 'write true or false')
  return text === 'true'
}

function badParameter(name: string, instead: string): RecordsError {
  const shown = /^[\w-]{1,40}$/.test(name) ? name : 'one of its parameters'
  return new RecordsError('DB_URL', `the database URL is wrong: the parameter ${shown}: ${instead}`, {
    fix: 'correct SEALFLEET_DATABASE_URL',
  })
}

function badUrl(why: string): RecordsError {
  return new RecordsError(
    'DB_URL',
    `the database URL is wrong: ${why}; want postgres://user:password@host:port/database`,
  )
}
