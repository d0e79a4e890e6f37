/**
 * The codes for errors of a connection to Postgres, in one place: for the records' own connection and for a producer's
 * transaction.
 */
type DatabaseFailure = 'DB_UNAVAILABLE' | 'DB_ACCESS_DENIED' | 'DB_SCHEMA' | 'DB_TLS'

/** SQLSTATE (appendix A of PostgreSQL's manual), whole or by its beginning; the longest match wins. */
export const POSTGRES_STATES: Readonly<Record<string, DatabaseFailure>> = {
  '08': 'DB_UNAVAILABLE', // connection exceptions
  '25006': 'DB_UNAVAILABLE', // read-only transaction: a standby answered during a failover
  '28': 'DB_ACCESS_DENIED', // invalid authorization
  '3D000': 'DB_SCHEMA', // no such database
  '3F000': 'DB_SCHEMA', // no such schema
  '40': 'DB_UNAVAILABLE', // serialization failure, deadlock
  '42501': 'DB_ACCESS_DENIED', // insufficient privilege
  '42703': 'DB_SCHEMA', // no such column
  '42704': 'DB_SCHEMA', // no such type
  '42883': 'DB_SCHEMA', // no such function
  '42P01': 'DB_SCHEMA', // no such table
  '53': 'DB_UNAVAILABLE', // insufficient resources: connections, memory, disk
  '55P03': 'DB_UNAVAILABLE', // lock not available
  '57': 'DB_UNAVAILABLE', // statement time-out, shut down, crashed, starting up
  '58': 'DB_UNAVAILABLE', // the server's own I/O
}

/** https://www.prisma.io/docs/orm/reference/error-reference */
export const PRISMA_CODES: Readonly<Record<string, DatabaseFailure>> = {
  P1000: 'DB_ACCESS_DENIED',
  P1001: 'DB_UNAVAILABLE',
  P1002: 'DB_UNAVAILABLE',
  P1003: 'DB_SCHEMA',
  P1008: 'DB_UNAVAILABLE',
  P1010: 'DB_ACCESS_DENIED',
  P1011: 'DB_TLS',
  P1017: 'DB_UNAVAILABLE',
  P2021: 'DB_SCHEMA',
  P2022: 'DB_SCHEMA',
  P2024: 'DB_UNAVAILABLE',
  P2028: 'DB_UNAVAILABLE',
  P2034: 'DB_UNAVAILABLE',
  P2037: 'DB_UNAVAILABLE',
}

/** `kind` in the `cause` of Prisma's driver adapters. */
export const POSTGRES_KINDS: Readonly<Record<string, DatabaseFailure>> = {
  DatabaseNotReachable: 'DB_UNAVAILABLE',
  ConnectionClosed: 'DB_UNAVAILABLE',
  SocketTimeout: 'DB_UNAVAILABLE',
  TooManyConnections: 'DB_UNAVAILABLE',
  TransactionWriteConflict: 'DB_UNAVAILABLE',
  TransactionAlreadyClosed: 'DB_UNAVAILABLE',
  TlsConnectionError: 'DB_TLS',
  AuthenticationFailed: 'DB_ACCESS_DENIED',
  DatabaseAccessDenied: 'DB_ACCESS_DENIED',
  DatabaseDoesNotExist: 'DB_SCHEMA',
  TableDoesNotExist: 'DB_SCHEMA',
  ColumnNotFound: 'DB_SCHEMA',
}
