import { Prisma } from '../generated/client.js'
import { uuid } from '../ids.js'
import type { Queryable } from '../records.js'
import type { FileState } from '../terms.js'

/** The object that a STORED file is kept in. */
export interface KeptObject {
  readonly attemptId: string
  readonly bucket: string
  readonly objectKey: string
  readonly version: string | null
  readonly etag: string | null
  readonly length: number
}

/** An attempt that ended without being kept, and may have left something in the store. */
export interface Leftover {
  readonly attemptId: string
  readonly fileId: string
  readonly bucket: string
  readonly objectKey: string
  readonly endedAt: Date
  readonly fileState: FileState
  /** Where the file is kept instead; null unless it is STORED. */
  readonly kept: KeptObject | null
}

interface Row extends Omit<Leftover, 'kept'> {
  readonly keptId: string | null
  readonly keptBucket: string
  readonly keptKey: string
  readonly keptVersion: string | null
  readonly keptEtag: string | null
  readonly keptLength: bigint
}

/**
 * What an attempt left may go once its file has found its end some other way: it is STORED by another attempt, or a person
 * discarded or deleted it. Until then even the object of an attempt that was never committed could turn out to be the only
 * copy (the source is gone, the database was set back to an older day), so such attempts are not listed.
 *
 * ABANDONED and FAILED attempts that ended so many seconds ago and were not swept yet, the oldest first.
 */
export async function listLeftovers(
  db: Queryable,
  page: { readonly graceSeconds: number; readonly limit: number; readonly after?: Leftover | undefined },
): Promise<Leftover[]> {
  const from =
    page.after === undefined
      ? Prisma.empty
      : Prisma.sql`AND (a.ended_at, a.id) > (${page.after.endedAt}::timestamptz, ${page.after.attemptId}::uuid)`
  const rows = await db.query<Row>(Prisma.sql`
    SELECT a.id AS "attemptId", a.file_id AS "fileId", a.bucket, a.object_key AS "objectKey", a.ended_at AS "endedAt",
      f.state::text AS "fileState", k.id AS "keptId", k.bucket AS "keptBucket", k.object_key AS "keptKey",
      k.object_version AS "keptVersion", k.etag AS "keptEtag", k.object_length AS "keptLength"
    FROM attempts a JOIN files f ON f.id = a.file_id
      LEFT JOIN attempts k ON k.id = f.committed_attempt_id AND f.state = 'STORED'
    WHERE a.swept_at IS NULL AND a.state IN ('ABANDONED', 'FAILED') AND f.state IN ('STORED', 'DISCARDED', 'DELETED')
      AND a.ended_at <= clock_timestamp() - make_interval(secs => ${page.graceSeconds}::float8) ${from}
    ORDER BY a.ended_at, a.id LIMIT ${page.limit}::int`)
  return rows.map(({ keptId, keptBucket, keptKey, keptVersion, keptEtag, keptLength, ...rest }) => ({
    ...rest,
    kept:
      keptId === null
        ? null
        : {
            attemptId: keptId,
            bucket: keptBucket,
            objectKey: keptKey,
            version: keptVersion,
            etag: keptEtag,
            length: Number(keptLength),
          },
  }))
}

/** Remembers that the store holds nothing of these attempts any more. */
export async function markSwept(db: Queryable, attemptIds: readonly string[]): Promise<void> {
  if (attemptIds.length === 0) return
  const ids = attemptIds.map((id) => uuid(id, 'the attempt id'))
  await db.query(Prisma.sql`
    UPDATE attempts SET swept_at = clock_timestamp()
    WHERE id = ANY (${ids}::uuid[]) AND state IN ('ABANDONED', 'FAILED', 'SUPERSEDED') AND swept_at IS NULL
    RETURNING id`)
}
