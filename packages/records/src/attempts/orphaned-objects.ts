import { Prisma } from '../generated/client.js'
import { uuid } from '../db/ids.js'
import type { Queryable } from '../db/records.js'

/** The object of a STORED file. */
export interface CommittedObject {
  readonly attemptId: string
  readonly bucket: string
  readonly objectKey: string
  readonly version: string | null
  readonly etag: string | null
  readonly length: number
}

/** An attempt that may have data in the store that may be deleted. */
export interface OrphanedObject {
  readonly attemptId: string
  readonly fileId: string
  readonly bucket: string
  readonly objectKey: string
  /**
   * Start of the grace period: its end, its replacement by another attempt, or its file's deletion. Lists are in this
   * order.
   */
  readonly since: Date
  /** The file's committed object; null unless it is STORED. */
  readonly kept: CommittedObject | null
}

export interface OrphanedObjectPage {
  /** Only attempts whose `since` is at least this long ago. */
  readonly graceSeconds: number
  readonly limit: number
  readonly after?: OrphanedObject | undefined
}

export interface RawLeftover extends Omit<OrphanedObject, 'kept'> {
  readonly keptId: string | null
  readonly keptBucket: string
  readonly keptKey: string
  readonly keptVersion: string | null
  readonly keptEtag: string | null
  readonly keptLength: bigint
}

/** Of attempt `a`, its file `f`, and the file's committed attempt `k`, if there is one. */
export const LEFTOVER_COLUMNS = Prisma.raw(`
  a.id AS "attemptId", a.file_id AS "fileId", a.bucket, a.object_key AS "objectKey", k.id AS "keptId", k.bucket AS "keptBucket",
  k.object_key AS "keptKey", k.object_version AS "keptVersion", k.etag AS "keptEtag", k.object_length AS "keptLength"`)

export function leftoverRow({
  keptId,
  keptBucket,
  keptKey,
  keptVersion,
  keptEtag,
  keptLength,
  ...rest
}: RawLeftover): OrphanedObject {
  if (keptId === null) return { ...rest, kept: null }
  const place = { bucket: keptBucket, objectKey: keptKey, version: keptVersion, etag: keptEtag }
  return { ...rest, kept: { attemptId: keptId, ...place, length: Number(keptLength) } }
}

/** Rows after a place in the order of `since` and id. */
export function afterLeftover(since: Prisma.Sql, { after }: OrphanedObjectPage): Prisma.Sql {
  if (after === undefined) return Prisma.empty
  return Prisma.sql`AND (${since}, a.id) > (${after.since}::timestamptz, ${uuid(after.attemptId, 'the attempt id')}::uuid)`
}

/**
 * An attempt's data may be deleted once its file has ended in another way: it is STORED by another attempt, or was
 * discarded or deleted. Until then even the object of an uncommitted attempt could be the only copy (the source is
 * gone, the database was restored to an earlier day), so such attempts are not listed.
 *
 * Lists ABANDONED and FAILED attempts that ended at least this many seconds ago and were not swept yet, oldest first.
 */
export async function listOrphanedObjects(db: Queryable, page: OrphanedObjectPage): Promise<OrphanedObject[]> {
  const rows = await db.query<RawLeftover>(Prisma.sql`
    SELECT ${LEFTOVER_COLUMNS}, a.ended_at AS since
    FROM attempts a JOIN files f ON f.id = a.file_id
      LEFT JOIN attempts k ON k.id = f.committed_attempt_id AND f.state = 'STORED'
    WHERE a.swept_at IS NULL AND a.state IN ('ABANDONED', 'FAILED') AND f.state IN ('STORED', 'DISCARDED', 'DELETED')
      AND a.ended_at <= clock_timestamp() - make_interval(secs => ${page.graceSeconds}::float8)
      ${afterLeftover(Prisma.sql`a.ended_at`, page)}
    ORDER BY a.ended_at, a.id LIMIT ${page.limit}::int`)
  return rows.map(leftoverRow)
}
