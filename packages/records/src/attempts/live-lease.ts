import { Prisma } from '../generated/client.js'

/**
 * Whether a live lease covers the OPEN attempt `a` of the file that `file` names: the file's own lease, under which it
 * is ingested, or the lease of a rekey item, under which a STORED file is re-encrypted. By the database's clock.
 */
export function coveredByLease(file: 'f' | 'o'): Prisma.Sql {
  const f = Prisma.raw(file)
  return Prisma.sql`(
    (${f}.state = 'RUNNING' AND ${f}.last_attempt_no = a.attempt_no AND ${f}.lease_expires_at > clock_timestamp())
    OR EXISTS (SELECT FROM rekey_items i WHERE i.file_id = a.file_id AND i.state = 'RUNNING' AND i.attempt_no = a.attempt_no
      AND i.lease_expires_at > clock_timestamp()))`
}
