import { Prisma } from '../generated/client.js'

/** The audit log's actions that make a file DELETED; each row is written in the transaction that deletes it. */
const DELETION_ACTIONS = ['files.remove', 'files.expire', 'files.shred'] as const

export const DELETES = Prisma.sql`(${Prisma.join([...DELETION_ACTIONS])})`

/** The value of `files.deletion` after each of them, as an SQL expression over a row of the log. */
export function deletionOf(alias: 'l'): Prisma.Sql {
  const l = Prisma.raw(alias)
  return Prisma.sql`CASE ${l}.action WHEN 'files.remove' THEN 'REMOVED' WHEN 'files.expire' THEN 'EXPIRED'
    WHEN 'files.shred' THEN 'SHREDDED' END`
}
