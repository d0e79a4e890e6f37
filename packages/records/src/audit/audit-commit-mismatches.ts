import { Prisma } from '../generated/client.js'
import type { Queryable } from '../db/records.js'
import { COMMIT_ACTIONS, commitEventDetail } from '../attempts/commit-event.js'

/** Fields that events of earlier versions of Sealfleet lack; they are compared if present. */
const ADDED_LATER = ['plaintextLength', 'segLog2', 'suite']

/** A stored file whose committed attempt differs from the log's last event. */
export interface CommitBesideEvent {
  readonly fileId: string
  readonly attemptId: string
  /** Of the last commit event; null when there is none. */
  readonly eventId: string | null
  readonly eventAttemptId: string | null
}

/**
 * Compares each STORED file, after one id and at most `limit` of them, with the last event that gave it an attempt. The
 * whole detail is compared, so a record that names the right attempt with another object is found as well; only the
 * KEK's version may have changed since (nonces are rewrapped).
 */
export async function auditCommitMismatches(
  db: Queryable,
  page: { readonly after: string; readonly limit: number },
): Promise<{ readonly looked: number; readonly last: string | null; readonly found: readonly CommitBesideEvent[] }> {
  const rows = await db.query<CommitBesideEvent & { readonly same: boolean | null }>(Prisma.sql`
    SELECT f.id AS "fileId", a.id AS "attemptId", e.id::text AS "eventId", e.detail->>'attemptId' AS "eventAttemptId",
      e.detail @> (${commitEventDetail('a')} - ('{kek}'::text[] || ${ADDED_LATER}::text[]))
        AND (NOT e.detail ?& ${ADDED_LATER}::text[] OR e.detail @> (${commitEventDetail('a')} - 'kek')) AS same
    FROM (SELECT id, committed_attempt_id FROM files WHERE state = 'STORED' AND id > ${page.after}::uuid
      ORDER BY id LIMIT ${page.limit}::int) f
    LEFT JOIN attempts a ON a.id = f.committed_attempt_id
    LEFT JOIN LATERAL (
      SELECT l.id, l.detail FROM audit_log l WHERE l.subject_kind = 'file' AND l.subject_id = f.id::text
        AND l.action IN (${Prisma.join([...COMMIT_ACTIONS])}) ORDER BY l.id DESC LIMIT 1) e ON TRUE
    ORDER BY f.id`)
  const found = rows.filter(({ same }) => same !== true).map(({ same: _, ...row }) => row)
  return { looked: rows.length, last: rows.at(-1)?.fileId ?? null, found }
}
