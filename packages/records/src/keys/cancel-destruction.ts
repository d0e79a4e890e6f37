import { Prisma } from '../generated/client.js'
import { uuid } from '../db/ids.js'
import type { Queryable } from '../db/records.js'

/**
 * Cancels a scheduled destruction: the key is DECRYPT_ONLY again (even if it was PENDING; it must not seal). Call it in
 * a transaction that holds the key's row. False when there was none to cancel.
 */
export async function cancelDestruction(
  tx: Queryable,
  { destructionId, actor }: { readonly destructionId: string; readonly actor: string },
): Promise<boolean> {
  const rows = await tx.query<{ id: string }>(Prisma.sql`
    WITH d AS (
      UPDATE destructions SET cancelled_at = clock_timestamp(), cancelled_by = ${actor}
      WHERE id = ${uuid(destructionId, 'the destruction id')}::uuid AND cancelled_at IS NULL AND carried_out_at IS NULL
      RETURNING key_id
    )
    UPDATE master_keys k SET state = 'DECRYPT_ONLY', destroy_after = NULL,
      activated_at = coalesce(k.activated_at, clock_timestamp()), retired_at = coalesce(k.retired_at, clock_timestamp())
    FROM d WHERE k.id = d.key_id AND k.state = 'DESTROY_SCHEDULED' RETURNING k.id`)
  return rows.length === 1
}
