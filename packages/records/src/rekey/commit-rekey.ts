import { Prisma } from '../generated/client.js'
import { uuid } from '../db/ids.js'
import type { Queryable, Records } from '../db/records.js'
import { commitEventDetail } from '../attempts/commit-event.js'
import type { CommitInput, CommitOutcome } from '../attempts/commit-attempt.js'

export interface CommitRekeyInput extends CommitInput {
  readonly itemId: string
  /** The committed attempt to be superseded. */
  readonly oldAttemptId: string
}

/**
 * Replaces the committed attempt of a STORED file, in one transaction. The caller holds the item's lease, which has not
 * run out; the file is STORED by the old attempt; the new one is OPEN and has the old one's length; its keys, locked
 * FOR SHARE against destruction, are ACTIVE or DECRYPT_ONLY. Old SUPERSEDED, new COMMITTED, file, item, and the audit
 * log's row: all of them or none.
 * @returns already: this exchange was made before, and its answer was lost. fenced: no row was written, stop
 * @throws RecordsError INVALID when lengths or tags break the format's rules; DB_UNAVAILABLE: ask again, it is
 * idempotent
 */
export async function commitRekey(
  records: Pick<Records, 'transaction' | 'query'>,
  input: CommitRekeyInput,
): Promise<CommitOutcome> {
  const itemId = uuid(input.itemId, 'the item’s id')
  const attemptId = uuid(input.attemptId, 'the attempt id')
  const committed = await records.transaction(async (tx) => {
    if (!(await lockAll(tx, { ...input, itemId, attemptId }))) return false
    // A file may neither have two committed attempts nor a stored one none: the old goes first, and the reference is
    // checked last.
    await tx.query(Prisma.sql`SET CONSTRAINTS files_id_committed_attempt_id_committed_state_fkey DEFERRED`)
    await tx.query(Prisma.sql`
      UPDATE attempts SET state = 'SUPERSEDED', superseded_at = clock_timestamp()
      WHERE id = ${input.oldAttemptId}::uuid RETURNING id`)
    await tx.query(Prisma.sql`
      WITH c AS (
        UPDATE attempts SET state = 'COMMITTED', object_version = ${input.objectVersion ?? null}, etag = ${input.etag ?? null},
          object_length = ${input.objectLength}::bigint, plaintext_length = ${input.plaintextLength}::bigint,
          htag = ${Buffer.from(input.htag)}, fmac = ${Buffer.from(input.fmac)}, ended_at = clock_timestamp()
        WHERE id = ${attemptId}::uuid RETURNING *
      ), logged AS (
        INSERT INTO audit_log (actor, action, subject_kind, subject_id, detail)
        SELECT c.owner, 'file.rekey', 'file', c.file_id::text, ${commitEventDetail('c')} FROM c
      )
      SELECT id FROM c`)
    await tx.query(Prisma.sql`
      UPDATE files SET committed_attempt_id = ${attemptId}::uuid WHERE id = ${input.fileId}::uuid RETURNING id`)
    await tx.query(Prisma.sql`
      UPDATE rekey_items SET state = 'DONE', lease_owner = NULL, lease_expires_at = NULL, failure_code = NULL,
        ended_at = clock_timestamp()
      WHERE id = ${itemId}::uuid RETURNING id`)
    return true
  })
  if (committed) return 'committed'
  const [item] = await records.query<{ ours: boolean }>(Prisma.sql`
    SELECT i.state = 'DONE' AND i.attempt_id = ${attemptId}::uuid AS ours FROM rekey_items i WHERE i.id = ${itemId}::uuid`)
  return item?.ours === true ? 'already' : 'fenced'
}

async function lockAll(tx: Queryable, input: CommitRekeyInput): Promise<boolean> {
  const [held] = await tx.query<{ readonly keys: number }>(Prisma.sql`
    SELECT CASE WHEN n.kek_key_id IS NULL THEN 2 ELSE 3 END AS keys
    FROM rekey_items i JOIN files f ON f.id = i.file_id
      JOIN attempts o ON o.id = f.committed_attempt_id JOIN attempts n ON n.file_id = f.id AND n.id = i.attempt_id
    WHERE i.id = ${input.itemId}::uuid AND i.state = 'RUNNING' AND i.lease_owner = ${input.owner}
      AND i.lease_expires_at > clock_timestamp() AND f.id = ${uuid(input.fileId, 'the file id')}::uuid AND f.state = 'STORED'
      AND o.id = ${uuid(input.oldAttemptId, 'the attempt id')}::uuid AND o.state = 'COMMITTED'
      AND o.plaintext_length = ${input.plaintextLength}::bigint
      AND n.id = ${input.attemptId}::uuid AND n.state = 'OPEN' AND n.attempt_no = i.attempt_no
    FOR UPDATE OF i, f, o, n`)
  if (held === undefined) return false
  const usable = await tx.query<{ readonly id: string }>(Prisma.sql`
    SELECT k.id FROM attempts a JOIN master_keys k ON k.id IN (a.enc_key_id, a.sig_key_id, a.kek_key_id)
    WHERE a.id = ${input.attemptId}::uuid AND k.state IN ('ACTIVE', 'DECRYPT_ONLY')
    FOR SHARE OF k`)
  return usable.length === held.keys
}
