import { Prisma } from '../generated/client.js'
import { uuid } from '../db/ids.js'
import type { Queryable } from '../db/records.js'

/** A hold that blocks the destruction of a key. */
export interface KeyHold {
  readonly id: string
  /** Null: it covers the key's whole domain. */
  readonly fileId: string | null
  readonly reason: string
  readonly placedBy: string
}

/**
 * Active holds on the key's domain, or on a file that has an attempt under the key, whatever the attempt's state. The
 * first hundred, the domain's first.
 */
export function holdsOnKey(db: Queryable, keyId: string): Promise<KeyHold[]> {
  const key = uuid(keyId, 'the key id')
  return db.query<KeyHold>(Prisma.sql`
    SELECT h.id, h.file_id AS "fileId", h.reason, h.placed_by AS "placedBy"
    FROM holds h JOIN master_keys k ON k.domain_id = h.domain_id
    WHERE k.id = ${key}::uuid AND h.released_at IS NULL AND (h.file_id IS NULL OR EXISTS (
      SELECT FROM attempts a WHERE a.file_id = h.file_id AND k.id IN (a.enc_key_id, a.sig_key_id, a.kek_key_id)))
    ORDER BY h.file_id NULLS FIRST, h.id LIMIT 100`)
}

/**
 * Until the transaction ends, no hold can be placed or released; waits for one that is being placed. Nothing else is
 * blocked.
 */
export async function keepHoldsStill(tx: Queryable): Promise<void> {
  await tx.query(Prisma.sql`LOCK TABLE holds IN SHARE ROW EXCLUSIVE MODE`)
}
