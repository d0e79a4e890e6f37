import { Prisma } from '../generated/client.js'
import type { Queryable } from '../db/records.js'
import { coveredByLease } from './live-lease.js'
import type { AttemptState, FileState } from '../db/terms.js'
import type { CommittedObject } from './orphaned-objects.js'

/** The record of an attempt whose key was found in the store. */
export interface AttemptOwner {
  readonly attemptId: string
  readonly fileId: string
  readonly state: AttemptState
  readonly fileState: FileState
  /** A live lease covers it: a worker is working on it. */
  readonly live: boolean
  /** Null while it is OPEN. */
  readonly endedSecondsAgo: number | null
  /** Null unless it is SUPERSEDED. */
  readonly supersededSecondsAgo: number | null
  /** Its file is DELETED, and the record says when and by whom. */
  readonly deleted: boolean
  /** The attempt that keeps the file, this or another; null unless the file is STORED. */
  readonly kept: CommittedObject | null
}

interface Row extends Omit<AttemptOwner, 'kept'> {
  readonly keptId: string | null
  readonly keptBucket: string | null
  readonly keptKey: string | null
  readonly keptVersion: string | null
  readonly keptEtag: string | null
  readonly keptLength: bigint | null
}

/** Attempts by id, those that exist and lie in this bucket. At most some thousands at once. */
export async function attemptOwners(
  db: Queryable,
  bucket: string,
  attemptIds: readonly string[],
): Promise<ReadonlyMap<string, AttemptOwner>> {
  if (attemptIds.length === 0) return new Map()
  const rows = await db.query<Row>(Prisma.sql`
    SELECT a.id AS "attemptId", a.file_id AS "fileId", a.state::text AS state, f.state::text AS "fileState",
      (a.state = 'OPEN' AND ${coveredByLease('f')}) AS live,
      extract(epoch FROM clock_timestamp() - a.ended_at)::float8 AS "endedSecondsAgo",
      extract(epoch FROM clock_timestamp() - a.superseded_at)::float8 AS "supersededSecondsAgo",
      (f.state = 'DELETED' AND f.deleted_at IS NOT NULL) AS deleted,
      k.id AS "keptId", k.bucket AS "keptBucket", k.object_key AS "keptKey", k.object_version AS "keptVersion",
      k.etag AS "keptEtag", k.object_length AS "keptLength"
    FROM attempts a JOIN files f ON f.id = a.file_id
      LEFT JOIN attempts k ON k.id = f.committed_attempt_id AND f.state = 'STORED'
    WHERE a.bucket = ${bucket} AND a.id = ANY (${[...new Set(attemptIds)]}::uuid[])`)
  return new Map(rows.map((row) => [row.attemptId, owner(row)]))
}

function owner({ keptId, keptBucket, keptKey, keptVersion, keptEtag, keptLength, ...rest }: Row): AttemptOwner {
  if (keptId === null || keptBucket === null || keptKey === null) return { ...rest, kept: null }
  const place = { bucket: keptBucket, objectKey: keptKey, version: keptVersion, etag: keptEtag }
  return { ...rest, kept: { attemptId: keptId, ...place, length: Number(keptLength) } }
}
