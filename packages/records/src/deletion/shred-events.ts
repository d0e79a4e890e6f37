import { Prisma } from '../generated/client.js'
import type { Queryable } from '../db/records.js'

/** A row of the log that shredded a file, with the ids it names. */
export interface ShredEvent {
  readonly eventId: string
  readonly fileId: string
  readonly request: string | null
  readonly reason: string | null
  /** As they were signed; null in rows of versions that did not record them. */
  readonly domain: string | null
  readonly domainName: string | null
}

/** Shreddings after one id of the log, oldest first, at most `limit`: whether or not the file's row still exists. */
export function listShredEvents(
  db: Queryable,
  page: { readonly after: string; readonly limit: number },
): Promise<readonly ShredEvent[]> {
  return db.query<ShredEvent>(Prisma.sql`
    SELECT id::text AS "eventId", subject_id AS "fileId", detail->>'request' AS request, detail->>'reason' AS reason,
      detail->>'domain' AS domain, detail->>'domainName' AS "domainName"
    FROM audit_log WHERE (action, id) > ('files.shred', ${page.after}::bigint)
      AND (action, id) <= ('files.shred', 9223372036854775807) AND subject_kind = 'file'
    ORDER BY audit_log.action, audit_log.id LIMIT ${page.limit}::int`)
}
