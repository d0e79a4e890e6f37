import { Prisma } from '../generated/client.js'
import { uuid } from '../db/ids.js'
import type { Queryable } from '../db/records.js'
import { WORKER_DIED } from './worker-death.js'
import { coveredByLease } from './live-lease.js'

/**
 * Maintenance's first step with an unfinished attempt: OPEN → ABANDONED by compare-and-set, and only when no live lease
 * covers it. A lease that has run out is never revived, so the attempt cannot commit afterwards; only then may its data
 * in the store be deleted.
 * @returns false when it is not OPEN, is still covered, or does not exist
 */
export async function abandonAttempt(db: Queryable, attemptId: string): Promise<boolean> {
  const rows = await db.query<{ id: string }>(Prisma.sql`
    UPDATE attempts a SET state = 'ABANDONED', ended_at = clock_timestamp(), failure_code = ${WORKER_DIED}
    FROM files f
    WHERE a.id = ${uuid(attemptId, 'the attempt id')}::uuid AND a.state = 'OPEN' AND f.id = a.file_id
      AND NOT ${coveredByLease('f')}
    RETURNING a.id`)
  return rows.length === 1
}

/** OPEN attempts that no live lease covers, oldest first: what maintenance may abandon. */
export function listOrphanedAttempts(
  db: Queryable,
  options: { readonly openedBefore: Date; readonly limit?: number },
): Promise<{ readonly id: string; readonly fileId: string; readonly bucket: string; readonly objectKey: string }[]> {
  return db.query(Prisma.sql`
    SELECT a.id, a.file_id AS "fileId", a.bucket, a.object_key AS "objectKey"
    FROM attempts a JOIN files f ON f.id = a.file_id
    WHERE a.state = 'OPEN' AND a.opened_at < ${options.openedBefore}
      AND NOT ${coveredByLease('f')}
    ORDER BY a.opened_at LIMIT ${options.limit ?? 100}::int`)
}
