import { Prisma } from '../generated/client.js'
import type { Queryable } from '../records.js'
import { COMMIT_ACTIONS } from './commit-event.js'

/** A commit event that the records do not bear out. */
export interface EventBesideAttempt {
  readonly eventId: string
  readonly fileId: string
  readonly attemptId: string | null
  /**
   * gone: there is no such attempt of that file, though nothing ever deletes one. uncommitted: the attempt never was
   * committed. changed: its object, tags or keys are not those of the event. twice: an earlier event committed it already.
   */
  readonly why: 'gone' | 'uncommitted' | 'changed' | 'twice'
}

/** Looks at the commit events after one id of the log, at most `limit` rows of the log at a time. */
export async function eventsBesideAttempts(
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
      CASE WHEN l.action NOT IN (${Prisma.join([...COMMIT_ACTIONS])}) THEN NULL
        WHEN a.id IS NULL THEN 'gone'
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
