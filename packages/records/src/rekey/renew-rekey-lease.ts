import { Prisma } from '../generated/client.js'
import { uuid } from '../db/ids.js'
import type { Queryable } from '../db/records.js'

/** The holder of an item, and the attempt of its file. */
export interface RekeyLease {
  readonly itemId: string
  readonly owner: string
  readonly attemptNo: number
}

/**
 * Extends an item's lease by the database's clock. False when the caller no longer holds it, or it has run out: then
 * stop all I/O.
 */
export async function renewRekeyLease(
  db: Queryable,
  input: RekeyLease & { readonly leaseSeconds: number },
): Promise<boolean> {
  const rows = await db.query<{ id: string }>(Prisma.sql`
    UPDATE rekey_items SET lease_expires_at = clock_timestamp() + make_interval(secs => ${input.leaseSeconds}::float8)
    WHERE id = ${uuid(input.itemId, 'the item’s id')}::uuid AND state = 'RUNNING' AND lease_owner = ${input.owner}
      AND attempt_no = ${input.attemptNo}::int AND lease_expires_at > clock_timestamp()
    RETURNING id`)
  return rows.length === 1
}
