import { Prisma } from '../generated/client.js'
import type { Queryable } from '../db/records.js'
import { FILE_COLUMNS, fileRow, type RawFile } from './file-row.js'
import type { FileRow } from '../db/terms.js'

export interface OpenFilesPage {
  /** Only files unchanged for this long: the writer of the row needs time to add the job. */
  readonly idleSeconds: number
  /** The last file of the page before. */
  readonly after?: Pick<FileRow, 'acceptedAt' | 'id'> | undefined
  readonly limit: number
}

/**
 * Files that need a job, in the order of acceptance: QUEUED ones, and RUNNING ones whose lease has run out. Files that
 * the outbox will still bring to the queue are left out.
 */
export async function listOpenFiles(
  db: Queryable,
  state: 'QUEUED' | 'RUNNING',
  { idleSeconds, after, limit }: OpenFilesPage,
): Promise<FileRow[]> {
  const since = Prisma.sql`clock_timestamp() - make_interval(secs => ${idleSeconds}::float8)`
  const idle = state === 'QUEUED' ? Prisma.sql`f.updated_at <= ${since}` : Prisma.sql`f.lease_expires_at <= ${since}`
  const from =
    after === undefined
      ? Prisma.empty
      : Prisma.sql`AND (f.accepted_at, f.id) > (${after.acceptedAt}::timestamptz, ${after.id}::uuid)`
  const rows = await db.query<RawFile>(Prisma.sql`
    SELECT ${FILE_COLUMNS} FROM files f
    WHERE f.state = ${state}::file_state AND ${idle} ${from}
      AND NOT EXISTS (SELECT FROM outbox o WHERE o.file_id = f.id AND o.generation = f.generation AND o.relayed_at IS NULL)
    ORDER BY f.accepted_at, f.id LIMIT ${limit}::int`)
  return rows.map(fileRow)
}

/** Number of files that are QUEUED or RUNNING: each has a job, or has lost it. */
export async function countOpenFiles(db: Queryable): Promise<number> {
  const [row] = await db.query<{ n: number }>(
    Prisma.sql`SELECT count(*)::float8 AS n FROM files WHERE state IN ('QUEUED', 'RUNNING')`,
  )
  return row?.n ?? 0
}
