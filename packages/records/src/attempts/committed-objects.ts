import { Prisma } from '../generated/client.js'
import type { Queryable } from '../db/records.js'
import type { CommittedObject } from './orphaned-objects.js'

/**
 * The objects of STORED files, in the byte order of their keys, page by page: to be compared with a listing of the
 * bucket. A file has at most one COMMITTED attempt.
 */
export async function listCommittedObjects(
  db: Queryable,
  page: { readonly bucket: string; readonly after?: string | undefined; readonly limit: number },
): Promise<(CommittedObject & { readonly fileId: string })[]> {
  const rows = await db.query<
    Omit<CommittedObject, 'length'> & { readonly fileId: string; readonly length: bigint }
  >(Prisma.sql`
    SELECT a.id AS "attemptId", a.file_id AS "fileId", a.bucket, a.object_key AS "objectKey",
      a.object_version AS version, a.etag, a.object_length AS length
    FROM attempts a JOIN files f ON f.id = a.file_id
    WHERE a.bucket = ${page.bucket} AND a.object_key > ${page.after ?? ''} AND a.state = 'COMMITTED' AND f.state = 'STORED'
    ORDER BY a.object_key LIMIT ${page.limit}::int`)
  return rows.map((row) => ({ ...row, length: Number(row.length) }))
}
