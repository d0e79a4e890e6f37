import { Prisma } from '../generated/client.js'
import type { Queryable } from '../db/records.js'
import {
  afterLeftover,
  LEFTOVER_COLUMNS,
  leftoverRow,
  type OrphanedObject,
  type OrphanedObjectPage,
  type RawLeftover,
} from '../attempts/orphaned-objects.js'

/**
 * The committed attempts of DELETED files that were not swept yet, the longest deleted first; there is no grace. An
 * operator or the file's retention has decided: a DELETED file without a recorded time and actor is not listed.
 */
export async function listDeletedObjects(
  db: Queryable,
  page: Omit<OrphanedObjectPage, 'graceSeconds'>,
): Promise<OrphanedObject[]> {
  const rows = await db.query<RawLeftover>(Prisma.sql`
    SELECT ${LEFTOVER_COLUMNS}, f.deleted_at AS since
    FROM files f JOIN attempts a ON a.id = f.committed_attempt_id AND a.state = 'COMMITTED'
      LEFT JOIN attempts k ON false
    WHERE f.state = 'DELETED' AND f.swept_at IS NULL AND f.deleted_at IS NOT NULL
      ${afterLeftover(Prisma.sql`f.deleted_at`, { ...page, graceSeconds: 0 })}
    ORDER BY f.deleted_at, a.id LIMIT ${page.limit}::int`)
  return rows.map(leftoverRow)
}

/** Every ended attempt of one DELETED file that was not swept yet, by attempt number. */
export async function listObjectsOfDeleted(db: Queryable, fileId: string): Promise<OrphanedObject[]> {
  const rows = await db.query<RawLeftover>(Prisma.sql`
    SELECT ${LEFTOVER_COLUMNS}, f.deleted_at AS since
    FROM files f JOIN attempts a ON a.file_id = f.id LEFT JOIN attempts k ON false
    WHERE f.id = ${fileId}::uuid AND f.state = 'DELETED' AND f.deleted_at IS NOT NULL
      AND a.state <> 'OPEN' AND a.swept_at IS NULL
    ORDER BY a.attempt_no`)
  return rows.map(leftoverRow)
}
