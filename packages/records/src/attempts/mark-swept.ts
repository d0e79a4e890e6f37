import { Prisma } from '../generated/client.js'
import { uuid } from '../db/ids.js'
import type { Queryable } from '../db/records.js'

/**
 * Records that the store holds nothing more of these attempts and, for the committed attempt of a DELETED file, nothing
 * more of that file. An OPEN attempt, and the committed one of a STORED file, are never marked.
 */
export async function markSwept(db: Queryable, attemptIds: readonly string[]): Promise<void> {
  if (attemptIds.length === 0) return
  const ids = attemptIds.map((id) => uuid(id, 'the attempt id'))
  await db.query(Prisma.sql`
    WITH swept AS (
      UPDATE attempts a SET swept_at = clock_timestamp()
      FROM files f
      WHERE a.id = ANY (${ids}::uuid[]) AND a.swept_at IS NULL AND f.id = a.file_id
        AND (a.state IN ('ABANDONED', 'FAILED', 'SUPERSEDED') OR a.state = 'COMMITTED' AND f.state = 'DELETED')
      RETURNING a.file_id, a.state
    )
    UPDATE files f SET swept_at = clock_timestamp()
    FROM swept s WHERE s.state = 'COMMITTED' AND f.id = s.file_id AND f.state = 'DELETED'
    RETURNING f.id`)
}
