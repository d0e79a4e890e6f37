import { Prisma } from '../generated/client.js'
import type { Queryable } from '../db/records.js'
import {
  afterLeftover,
  LEFTOVER_COLUMNS,
  leftoverRow,
  type OrphanedObject,
  type OrphanedObjectPage,
  type RawLeftover,
} from './orphaned-objects.js'

/**
 * Attempts that another attempt of their file replaced at least this many seconds ago and that were not swept yet,
 * oldest first. Attempts of a file that has been deleted are listed without that grace.
 */
export async function listSuperseded(db: Queryable, page: OrphanedObjectPage): Promise<OrphanedObject[]> {
  const rows = await db.query<RawLeftover>(Prisma.sql`
    SELECT ${LEFTOVER_COLUMNS}, a.superseded_at AS since
    FROM attempts a JOIN files f ON f.id = a.file_id
      LEFT JOIN attempts k ON k.id = f.committed_attempt_id AND f.state = 'STORED'
    WHERE a.swept_at IS NULL AND a.state = 'SUPERSEDED'
      AND (f.state = 'DELETED' AND f.deleted_at IS NOT NULL
        OR f.state = 'STORED' AND a.superseded_at <= clock_timestamp() - make_interval(secs => ${page.graceSeconds}::float8))
      ${afterLeftover(Prisma.sql`a.superseded_at`, page)}
    ORDER BY a.superseded_at, a.id LIMIT ${page.limit}::int`)
  return rows.map(leftoverRow)
}
