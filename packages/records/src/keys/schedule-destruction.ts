import { randomUUID } from 'node:crypto'
import { RecordsError } from '../db/errors.js'
import { Prisma } from '../generated/client.js'
import { uuid } from '../db/ids.js'
import type { Queryable } from '../db/records.js'
import { DESTRUCTION_COLUMNS, destructionRow, type DestructionRow, type RawDestruction } from './destruction-row.js'

export interface ScheduleInput {
  readonly keyId: string
  readonly requestId: string | null
  readonly shred: boolean
  readonly reason: string
  readonly backups: string
  readonly actor: string
  /** Seconds from now, by the database's clock. */
  readonly waitSeconds: number
  /** JSON: the present uses of the key. */
  readonly references: unknown
}

/**
 * Sets a key that is DECRYPT_ONLY or PENDING to DESTROY_SCHEDULED, with the destruction's row. Call it in a transaction
 * that holds the key's row. @throws RecordsError BAD_STATE
 */
export async function scheduleDestruction(tx: Queryable, input: ScheduleInput): Promise<DestructionRow> {
  const [row] = await tx.query<RawDestruction>(Prisma.sql`
    WITH k AS (
      UPDATE master_keys SET state = 'DESTROY_SCHEDULED',
        destroy_after = clock_timestamp() + make_interval(secs => ${input.waitSeconds}::float8)
      WHERE id = ${uuid(input.keyId, 'the key id')}::uuid AND state IN ('DECRYPT_ONLY', 'PENDING')
      RETURNING id, label, destroy_after
    ), d AS (
      INSERT INTO destructions (id, key_id, request_id, shred, reason, backups, scheduled_by, execute_after, "references")
      SELECT ${randomUUID()}::uuid, k.id, ${input.requestId}::uuid, ${input.shred}::boolean, ${input.reason}, ${input.backups},
        ${input.actor}, k.destroy_after, ${JSON.stringify(input.references)}::jsonb
      FROM k RETURNING *
    )
    SELECT ${DESTRUCTION_COLUMNS} FROM d JOIN k ON k.id = d.key_id`)
  if (row === undefined)
    throw new RecordsError('BAD_STATE', 'only a key that is DECRYPT_ONLY or PENDING can be scheduled for destruction', {
      fix: 'retire or rotate it first: see `npx sealfleet keys list`',
    })
  return destructionRow(row)
}
