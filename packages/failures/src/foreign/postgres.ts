import { textOf, type ErrorNode } from '../chain.js'
import type { FailureCode } from '../list.js'

/** SQLSTATE (appendix A of PostgreSQL's manual), whole or by its class of two characters. */
const BY_SQLSTATE: Readonly<Record<string, FailureCode>> = {
  '08': 'DB_UNAVAILABLE', // connection exceptions
  '25006': 'DB_UNAVAILABLE', // read-only transaction: a standby answered during a failover
  '28': 'DB_ACCESS_DENIED', // invalid authorization
  '3D000': 'DB_SCHEMA', // no such database
  '3F000': 'DB_SCHEMA',
  '40001': 'DB_UNAVAILABLE', // serialization failure
  '40P01': 'DB_UNAVAILABLE', // deadlock
  '42501': 'DB_ACCESS_DENIED', // insufficient privilege
  '42703': 'DB_SCHEMA', // no such column
  '42704': 'DB_SCHEMA',
  '42883': 'DB_SCHEMA',
  '42P01': 'DB_SCHEMA', // no such table
  '53': 'DB_UNAVAILABLE', // insufficient resources: connections, memory, disk
  '55P03': 'DB_UNAVAILABLE', // lock not available
  '57014': 'DB_UNAVAILABLE', // statement time-out
  '57P': 'DB_UNAVAILABLE', // shut down, crashed, starting up
  '58': 'DB_UNAVAILABLE', // system error
}

const BY_PRISMA_CODE: Readonly<Record<string, FailureCode>> = {
  P1000: 'DB_ACCESS_DENIED',
  P1001: 'DB_UNAVAILABLE',
  P1002: 'DB_UNAVAILABLE',
  P1003: 'DB_SCHEMA',
  P1008: 'DB_UNAVAILABLE',
  P1010: 'DB_ACCESS_DENIED',
  P1017: 'DB_UNAVAILABLE',
  P2021: 'DB_SCHEMA',
  P2022: 'DB_SCHEMA',
  P2024: 'DB_UNAVAILABLE',
  P2028: 'DB_UNAVAILABLE',
  P2034: 'DB_UNAVAILABLE',
  P2037: 'DB_UNAVAILABLE',
}

/** `kind` of what Prisma's driver adapters carry as `cause`. */
const BY_ADAPTER_KIND: Readonly<Record<string, FailureCode>> = {
  DatabaseNotReachable: 'DB_UNAVAILABLE',
  ConnectionClosed: 'DB_UNAVAILABLE',
  SocketTimeout: 'DB_UNAVAILABLE',
  TooManyConnections: 'DB_UNAVAILABLE',
  TransactionWriteConflict: 'DB_UNAVAILABLE',
  TransactionAlreadyClosed: 'DB_UNAVAILABLE',
  AuthenticationFailed: 'DB_ACCESS_DENIED',
  DatabaseAccessDenied: 'DB_ACCESS_DENIED',
  DatabaseDoesNotExist: 'DB_SCHEMA',
  TableDoesNotExist: 'DB_SCHEMA',
  ColumnNotFound: 'DB_SCHEMA',
}

/** pg gives these no code at all (lib/client.js, pg-pool of 8.23). */
const PG_MESSAGE =
  /^(Connection terminated( unexpectedly| due to connection timeout)?|timeout exceeded when trying to connect|timeout expired|Query read timeout|Client has encountered a connection error and is not queryable|Client was closed and is not queryable)$/

const SQLSTATE = /^[0-9A-Z]{5}$/

/** Errors of pg (SQLSTATE), of Prisma (P-codes) and of Prisma's driver adapters (kinds, with the SQLSTATE inside). */
export function postgresFailure(node: ErrorNode): FailureCode | undefined {
  const code = textOf(node, 'code')
  const prisma = code === '' ? textOf(node, 'errorCode') : code
  if (Object.hasOwn(BY_PRISMA_CODE, prisma)) return BY_PRISMA_CODE[prisma]
  const kind = textOf(node, 'kind')
  if (Object.hasOwn(BY_ADAPTER_KIND, kind)) return BY_ADAPTER_KIND[kind]
  // `severity` tells a SQLSTATE from an errno of five letters (EPIPE).
  const isSqlState = SQLSTATE.test(code) && textOf(node, 'severity') !== ''
  const state = isSqlState ? code : originalState(node)
  if (state !== undefined) return BY_SQLSTATE[state] ?? BY_SQLSTATE[state.slice(0, 3)] ?? BY_SQLSTATE[state.slice(0, 2)]
  if (textOf(node, 'name') === 'PrismaClientInitializationError') return 'DB_UNAVAILABLE'
  return PG_MESSAGE.test(textOf(node, 'message')) ? 'DB_UNAVAILABLE' : undefined
}

function originalState(node: ErrorNode): string | undefined {
  const original = textOf(node, 'originalCode')
  if (SQLSTATE.test(original)) return original
  // P2010, a raw query that failed: the SQLSTATE is in `meta`.
  const meta = node['meta']
  if (typeof meta !== 'object' || meta === null) return undefined
  const inner = textOf(meta as ErrorNode, 'code')
  return SQLSTATE.test(inner) ? inner : undefined
}
