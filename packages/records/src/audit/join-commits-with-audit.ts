import { Prisma } from '../generated/client.js'
import type { Queryable } from '../db/records.js'
import { COMMIT_ACTIONS } from '../attempts/commit-event.js'
import { DELETES } from '../deletion/deletion-event.js'

/** A commit event, or a destruction of a key, that contradicts the records. */
export interface EventBesideAttempt {
  readonly eventId: string
  /** Of a destruction, the key's id. */
  readonly fileId: string
  readonly attemptId: string | null
  /**
   * gone: that file has no such attempt, though attempts are never deleted, and no later event explains it.
   * uncommitted: the attempt was never committed. changed: its object, tags or keys differ from the event's. twice: an
   * earlier event had already committed it. deleted: an earlier event deleted the file. key: the destroyed key is no
   * longer registered.
   */
  readonly why: 'gone' | 'uncommitted' | 'changed' | 'twice' | 'deleted' | 'key'
}

/**
 * Whether a missing file with all of its rows would be gone anyway: a later event deleted it, or its key was destroyed
 * by a destruction that gave files up. `l` is its commit event.
 */
const EXPLAINED = Prisma.sql`NOT EXISTS (SELECT FROM files f WHERE f.id::text = l.subject_id) AND (
  EXISTS (SELECT FROM audit_log d WHERE d.subject_kind = 'file' AND d.subject_id = l.subject_id AND d.id > l.id
    AND d.action IN ${DELETES})
  OR EXISTS (SELECT FROM master_keys k JOIN destructions d ON d.key_id = k.id AND d.shred AND d.carried_out_at IS NOT NULL
    WHERE k.state = 'DESTROYED' AND starts_with(k.label, 'sealfleet/' || split_part(l.detail->>'objectKey', '/', 1) || '/')
      AND k.version::text = l.detail->>lower(k.role::text)))`

/** Checks the commit events and destructions after one id of the log, at most `limit` rows of the log at a time. */
export async function joinCommitsWithAudit(
  db: Queryable,
  page: { readonly after: string; readonly limit: number },
): Promise<{ readonly last: string | null; readonly events: number; readonly found: readonly EventBesideAttempt[] }> {
  const rows = await db.query<{
    readonly eventId: string
    readonly event: boolean
    readonly fileId: string
    readonly attemptId: string | null
    readonly why: EventBesideAttempt['why'] | null
  }>(Prisma.sql`
    SELECT l.id::text AS "eventId", l.action IN (${Prisma.join([...COMMIT_ACTIONS])}) AS event, l.subject_id AS "fileId",
      l.detail->>'attemptId' AS "attemptId",
      CASE WHEN l.action = 'keys.destroy' AND NOT EXISTS (SELECT FROM master_keys k WHERE k.id::text = l.subject_id) THEN 'key'
        WHEN l.action NOT IN (${Prisma.join([...COMMIT_ACTIONS])}) THEN NULL
        WHEN a.id IS NULL THEN CASE WHEN ${EXPLAINED} THEN NULL ELSE 'gone' END
        WHEN EXISTS (SELECT FROM audit_log d WHERE d.subject_kind = 'file' AND d.subject_id = l.subject_id AND d.id < l.id
          AND d.action IN ${DELETES}) THEN 'deleted'
        WHEN a.state NOT IN ('COMMITTED', 'SUPERSEDED') THEN 'uncommitted'
        WHEN (l.detail->>'objectKey', l.detail->>'bucket', l.detail->>'htag', l.detail->>'fmac', l.detail->>'length')
          IS DISTINCT FROM (a.object_key, a.bucket, encode(a.htag, 'hex'), encode(a.fmac, 'hex'), a.object_length::text)
          THEN 'changed'
        WHEN EXISTS (SELECT 1 FROM audit_log b WHERE b.subject_kind = 'file' AND b.subject_id = l.subject_id AND b.id < l.id
          AND b.action IN (${Prisma.join([...COMMIT_ACTIONS])}) AND b.detail->>'attemptId' = l.detail->>'attemptId')
          THEN 'twice' END AS why
    FROM (SELECT * FROM audit_log WHERE id > ${page.after}::bigint ORDER BY id LIMIT ${page.limit}::int) l
    LEFT JOIN attempts a ON a.file_id::text = l.subject_id
      AND a.id = CASE WHEN l.detail->>'attemptId' ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN (l.detail->>'attemptId')::uuid END
    ORDER BY l.id`)
  return {
    last: rows.at(-1)?.eventId ?? null,
    events: rows.filter(({ event }) => event).length,
    found: rows.flatMap(({ why, eventId, fileId, attemptId }) =>
      why === null ? [] : [{ eventId, fileId, attemptId, why }],
    ),
  }
}
