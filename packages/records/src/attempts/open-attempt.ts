import { Prisma } from '../generated/client.js'
import { uuid } from '../db/ids.js'
import type { Queryable } from '../db/records.js'
import { assertOpened, newAttempt, type NewAttempt, type OpenedAttempt } from './new-attempt.js'

export type OpenAttemptInput = NewAttempt

/**
 * Records an attempt with its nonces before the first byte of ciphertext leaves memory. Only for the holder of the
 * lease, and only under keys that are ACTIVE or DECRYPT_ONLY (a rotation may have just retired them).
 * @throws RecordsError FENCED, NO_ACTIVE_KEY, NONCE_REUSE, INVALID (zero or equal nonces, ids that don't fit them, …),
 * NOT_FOUND (a key of another role, suite or domain)
 */
export async function openAttempt(db: Queryable, input: OpenAttemptInput): Promise<void> {
  const [row] = await db.query<OpenedAttempt>(Prisma.sql`
    WITH held AS MATERIALIZED (
      SELECT id, domain_id, generation FROM files
      WHERE id = ${uuid(input.fileId, 'the file id')}::uuid AND state = 'RUNNING' AND lease_owner = ${input.owner}
        AND last_attempt_no = ${input.attemptNo}::int AND lease_expires_at > clock_timestamp()
      FOR SHARE
    ), ${newAttempt(input)}
    SELECT EXISTS (SELECT FROM held) AS held, EXISTS (SELECT FROM opened) AS opened`)
  assertOpened(row)
}
