import { Prisma } from '../generated/client.js'
import { uuid } from '../db/ids.js'
import type { Queryable } from '../db/records.js'
import { commitEventDetail } from './commit-event.js'

export interface CommitInput {
  readonly attemptId: string
  readonly fileId: string
  readonly owner: string
  /** The store's version of the object; without one, the ETag pins it. */
  readonly objectVersion?: string | undefined
  readonly etag?: string | undefined
  readonly objectLength: number
  readonly plaintextLength: number
  readonly htag: Uint8Array
  readonly fmac: Uint8Array
  /** SHA-256 of the sealed object's bytes, never of the plaintext. */
  readonly objectSha256?: Uint8Array | undefined
}

/** already: this attempt was committed before, and its answer was lost. fenced: the file has another owner, stop. */
export type CommitOutcome = 'committed' | 'already' | 'fenced'

/**
 * Makes an attempt the file's outcome, in one transaction of one statement: the file is RUNNING under this owner and
 * this attempt, its lease has not run out, the attempt is OPEN, and its keys, locked FOR SHARE against destruction, are
 * ACTIVE or DECRYPT_ONLY. The same statement writes the row of the audit log. When any of these conditions fails, no
 * row is written, and the record is read to tell a lost answer from a fence.
 * @throws RecordsError INVALID when lengths or tags break the format's rules; DB_UNAVAILABLE: ask again, it is
 * idempotent
 */
export async function commitAttempt(db: Queryable, input: CommitInput): Promise<CommitOutcome> {
  const fileId = uuid(input.fileId, 'the file id')
  const attemptId = uuid(input.attemptId, 'the attempt id')
  const stored = await db.query<{ id: string }>(Prisma.sql`
    WITH held AS MATERIALIZED (
      SELECT a.id, a.file_id, CASE WHEN a.kek_key_id IS NULL THEN 2 ELSE 3 END AS keys
      FROM files f JOIN attempts a ON a.file_id = f.id AND a.attempt_no = f.last_attempt_no
      WHERE f.id = ${fileId}::uuid AND f.state = 'RUNNING' AND f.lease_owner = ${input.owner}
        AND f.lease_expires_at > clock_timestamp() AND a.id = ${attemptId}::uuid AND a.state = 'OPEN'
      FOR UPDATE OF f, a
    ), usable AS MATERIALIZED (
      SELECT k.id, k.version FROM attempts a JOIN master_keys k ON k.id IN (a.enc_key_id, a.sig_key_id, a.kek_key_id)
      WHERE a.id = ${attemptId}::uuid AND k.state IN ('ACTIVE', 'DECRYPT_ONLY')
      FOR SHARE OF k
    ), committed AS (
      UPDATE attempts a SET state = 'COMMITTED', object_version = ${input.objectVersion ?? null}, etag = ${input.etag ?? null},
        object_length = ${input.objectLength}::bigint, plaintext_length = ${input.plaintextLength}::bigint,
        htag = ${Buffer.from(input.htag)}, fmac = ${Buffer.from(input.fmac)},
        object_sha256 = ${input.objectSha256 === undefined ? null : Buffer.from(input.objectSha256)}::bytea,
        ended_at = clock_timestamp()
      FROM held WHERE a.id = held.id AND (SELECT count(*) FROM usable) = held.keys
      RETURNING a.*
    ), logged AS (
      INSERT INTO audit_log (actor, action, subject_kind, subject_id, detail)
      SELECT c.owner, 'file.commit', 'file', c.file_id::text, ${commitEventDetail('c', 'usable')} FROM committed c
    )
    UPDATE files f SET state = 'STORED', committed_attempt_id = c.id, stored_at = clock_timestamp(),
      lease_owner = NULL, lease_expires_at = NULL
    FROM committed c WHERE f.id = c.file_id
    RETURNING f.id`)
  if (stored.length === 1) return 'committed'
  const [record] = await db.query<{ ours: boolean }>(Prisma.sql`
    SELECT committed_attempt_id = ${attemptId}::uuid AS ours FROM files WHERE id = ${fileId}::uuid AND state = 'STORED'`)
  return record?.ours === true ? 'already' : 'fenced'
}
