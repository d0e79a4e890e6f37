import { Prisma } from '../generated/client.js'
import { uuid } from '../db/ids.js'
import type { Queryable } from '../db/records.js'

/**
 * Remembers that the store holds nothing of these attempts any more, and of a DELETED file that it holds nothing of what the file was
 * kept by. An OPEN attempt, and the one that a STORED file is kept by, are never marked.
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
