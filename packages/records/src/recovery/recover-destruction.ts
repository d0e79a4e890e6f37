import { Prisma } from '../generated/client.js'
import { uuid } from '../db/ids.js'
import type { Queryable } from '../db/records.js'
import { lockMasterKey } from '../keys/lock-key.js'

/** The content of a signed record of a destruction. */
export interface RecoveredDestruction {
  readonly id: string
  readonly shred: boolean
  readonly reason: string
  readonly backups: string
  readonly scheduledBy: string
  readonly scheduledAt: Date
  readonly executeAfter: Date
  readonly carriedOutAt: Date
  /** JSON: the uses of the key. */
  readonly references: unknown
  /** Canonical JSON; the MAC covers it. */
  readonly record: Uint8Array
  readonly auditKeyVersion: number
  readonly mac: Uint8Array
  /** The location of its copy in the store. */
  readonly storeKey: string
}

/** The states of a destroyed key, in order: a restored older database may have it in any of them. */
const STEPS = [
  Prisma.sql`state = 'DECRYPT_ONLY', retired_at = clock_timestamp() WHERE state = 'ACTIVE'`,
  Prisma.sql`state = 'DESTROY_SCHEDULED', destroy_after = clock_timestamp() WHERE state IN ('PENDING', 'DECRYPT_ONLY')`,
]

/**
 * Restores the record of a destruction from its signed record: the key becomes DESTROYED, whatever its state in an
 * older database, and the destruction's row holds the record. The request behind it is lost; its bytes and signatures
 * are in the record. Call it in a transaction.
 * @returns whether there was anything to restore
 * @throws RecordsError NOT_FOUND for an unknown key, CONFLICT when the row belongs to another destruction
 */
export async function recoverDestruction(tx: Queryable, keyId: string, input: RecoveredDestruction): Promise<boolean> {
  const { state } = await lockMasterKey(tx, keyId)
  const key = uuid(keyId, 'the key id')
  const id = uuid(input.id, 'the destruction id')
  if (state !== 'DESTROYED') {
    for (const step of STEPS)
      await tx.query(Prisma.sql`UPDATE master_keys SET ${step} AND id = ${key}::uuid RETURNING id`)
    await tx.query(Prisma.sql`
      UPDATE master_keys SET state = 'DESTROYED', destroyed_at = ${input.carriedOutAt}::timestamptz
      WHERE state = 'DESTROY_SCHEDULED' AND id = ${key}::uuid RETURNING id`)
  }
  // A destruction that was scheduled when the older database was saved, and is not the one that was carried out.
  await tx.query(Prisma.sql`
    UPDATE destructions SET cancelled_at = clock_timestamp(), cancelled_by = 'recover'
    WHERE key_id = ${key}::uuid AND id <> ${id}::uuid AND cancelled_at IS NULL AND carried_out_at IS NULL RETURNING id`)
  const rows = await tx.query<{ id: string }>(Prisma.sql`
    INSERT INTO destructions AS d (id, key_id, shred, reason, backups, scheduled_by, scheduled_at, execute_after, "references",
      carried_out_at, record, audit_key_version, mac, store_key, copied_at)
    VALUES (${id}::uuid, ${key}::uuid, ${input.shred}::boolean, ${input.reason}, ${input.backups}, ${input.scheduledBy},
      ${input.scheduledAt}::timestamptz, ${input.executeAfter}::timestamptz, ${JSON.stringify(input.references)}::jsonb,
      ${input.carriedOutAt}::timestamptz, ${Buffer.from(input.record)}::bytea, ${input.auditKeyVersion}::int,
      ${Buffer.from(input.mac)}::bytea, ${input.storeKey}, clock_timestamp())
    ON CONFLICT (id) DO UPDATE SET carried_out_at = EXCLUDED.carried_out_at, record = EXCLUDED.record,
      audit_key_version = EXCLUDED.audit_key_version, mac = EXCLUDED.mac, store_key = EXCLUDED.store_key,
      copied_at = EXCLUDED.copied_at
    WHERE d.key_id = ${key}::uuid AND d.carried_out_at IS NULL AND d.cancelled_at IS NULL
    RETURNING id`)
  return rows.length === 1
}
