import { textProperty, type ErrorNode } from '../chain.js'
import type { FailureCode } from '../list.js'
import { POSTGRES_KINDS, POSTGRES_STATES, PRISMA_CODES } from './postgres-codes.js'

/** pg gives these no code at all (lib/client.js, pg-pool of 8.23). */
const PG_MESSAGE =
  /^(Connection terminated( unexpectedly| due to connection timeout)?|timeout exceeded when trying to connect|timeout expired|Query read timeout|Client has encountered a connection error and is not queryable|Client was closed and is not queryable)$/

const SQLSTATE = /^[0-9A-Z]{5}$/

/** Errors of pg (SQLSTATE), of Prisma (P-codes) and of Prisma's driver adapters (kinds, with the SQLSTATE inside). */
export function postgresFailure(node: ErrorNode): FailureCode | undefined {
  const code = textProperty(node, 'code')
  const prisma = code === '' ? textProperty(node, 'errorCode') : code
  if (Object.hasOwn(PRISMA_CODES, prisma)) return PRISMA_CODES[prisma]
  const kind = textProperty(node, 'kind')
  if (Object.hasOwn(POSTGRES_KINDS, kind)) return POSTGRES_KINDS[kind]
  // `severity` distinguishes a SQLSTATE from an errno of five letters (EPIPE).
  const isSqlState = SQLSTATE.test(code) && textProperty(node, 'severity') !== ''
  const state = isSqlState ? code : originalState(node)
  if (state !== undefined)
    return POSTGRES_STATES[state] ?? POSTGRES_STATES[state.slice(0, 3)] ?? POSTGRES_STATES[state.slice(0, 2)]
  if (textProperty(node, 'name') === 'PrismaClientInitializationError') return 'DB_UNAVAILABLE'
  return PG_MESSAGE.test(textProperty(node, 'message')) ? 'DB_UNAVAILABLE' : undefined
}

function originalState(node: ErrorNode): string | undefined {
  const original = textProperty(node, 'originalCode')
  if (SQLSTATE.test(original)) return original
  // P2010, a failed raw query: the SQLSTATE is in `meta`.
  const meta = node['meta']
  if (typeof meta !== 'object' || meta === null) return undefined
  const inner = textProperty(meta as ErrorNode, 'code')
  return SQLSTATE.test(inner) ? inner : undefined
}
