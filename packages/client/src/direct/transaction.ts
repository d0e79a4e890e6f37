import type { Query } from './database.js'
import type { PgTransaction, PrismaTransaction } from './terms.js'

/** Statements of a caller's transaction. @throws {TypeError} for a pool or Prisma's client, which are none */
export function queryOf(tx: PgTransaction | PrismaTransaction): Query {
  if ('idleCount' in tx) throw new TypeError('a pool is no transaction: take a client of it, and send BEGIN first')
  if ('$connect' in tx) throw new TypeError('Prisma’s client is no transaction: pass what $transaction hands over')
  if ('$queryRawUnsafe' in tx) return async (text, values) => (await tx.$queryRawUnsafe(text, ...values)) as unknown[]
  return async (text, values) => (await tx.query(text, values)).rows
}
