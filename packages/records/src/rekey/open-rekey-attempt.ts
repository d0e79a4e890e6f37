import { Prisma } from '../generated/client.js'
import { uuid } from '../db/ids.js'
import type { Queryable } from '../db/records.js'
import { assertOpened, newAttempt, type NewAttempt, type OpenedAttempt } from '../attempts/new-attempt.js'

export interface OpenRekeyAttemptInput extends NewAttempt {
  readonly itemId: string
  /** The file's committed attempt, which must not have changed. */
  readonly oldAttemptId: string
}

/**
 * Records the attempt of a rekey with its nonces before the first byte of ciphertext leaves memory. Only for the holder
 * of the item's lease, while the file is STORED by the attempt to be superseded.
 * @throws RecordsError as openAttempt
 */
export async function openRekeyAttempt(db: Queryable, input: OpenRekeyAttemptInput): Promise<void> {
  const [row] = await db.query<OpenedAttempt>(Prisma.sql`
    WITH held AS MATERIALIZED (
      SELECT f.id, f.domain_id, f.generation, i.id AS item FROM rekey_items i JOIN files f ON f.id = i.file_id
      WHERE i.id = ${uuid(input.itemId, 'the item’s id')}::uuid AND i.state = 'RUNNING' AND i.lease_owner = ${input.owner}
        AND i.attempt_no = ${input.attemptNo}::int AND i.lease_expires_at > clock_timestamp()
        AND f.id = ${uuid(input.fileId, 'the file id')}::uuid AND f.state = 'STORED'
        AND f.committed_attempt_id = ${uuid(input.oldAttemptId, 'the attempt id')}::uuid
      FOR UPDATE OF i
    ), ${newAttempt(input)}, named AS (
      UPDATE rekey_items i SET attempt_id = opened.id FROM opened, held WHERE i.id = held.item RETURNING i.id
    )
    SELECT EXISTS (SELECT FROM held) AS held, EXISTS (SELECT FROM named) AS opened`)
  assertOpened(row)
}
