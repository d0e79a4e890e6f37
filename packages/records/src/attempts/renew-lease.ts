import { Prisma } from '../generated/client.js'
import { uuid } from '../db/ids.js'
import type { Queryable } from '../db/records.js'

export interface LeaseInput {
  readonly fileId: string
  readonly owner: string
  readonly attemptNo: number
}

/**
 * Extends a lease by the database's clock. False when the caller no longer holds it, or it has run out: such a lease is
 * not revived, since another worker may be about to take it. Then stop all I/O.
 */
export async function renewLease(
  db: Queryable,
  input: LeaseInput & { readonly leaseSeconds: number },
): Promise<boolean> {
  const rows = await db.query<{ id: string }>(Prisma.sql`
    UPDATE files SET lease_expires_at = clock_timestamp() + make_interval(secs => ${input.leaseSeconds}::float8)
    WHERE id = ${uuid(input.fileId, 'the file id')}::uuid AND state = 'RUNNING' AND lease_owner = ${input.owner}
      AND last_attempt_no = ${input.attemptNo}::int AND lease_expires_at > clock_timestamp()
    RETURNING id`)
  return rows.length === 1
}
