import { Prisma } from '../generated/client.js'
import { domainToUuid, uuid } from '../db/ids.js'
import type { Queryable } from '../db/records.js'

/** Files that failed and will be retried, by the code of their last failure. */
export interface Retrying {
  readonly code: string
  /** QUEUED files, and those with a try in progress. */
  readonly files: number
  /** Of these, RUNNING. */
  readonly running: number
  /** When the file that waits longest was accepted. */
  readonly oldestAt: Date
  /** The earliest next try of a QUEUED file; null when none waits. */
  readonly nextTryAt: Date | null
}

/** As in the predicate of the index files_retrying, which holds only these files, however many are stored. */
const RETRYING = Prisma.sql`f.state IN ('QUEUED', 'RUNNING') AND f.last_failure_code IS NOT NULL`

/** Files that will be retried, by the code of their last failure, the most frequent first. */
export function retryingByCode(db: Queryable): Promise<Retrying[]> {
  return db.query<Retrying>(Prisma.sql`
    SELECT f.last_failure_code AS code, count(*)::float8 AS files,
      (count(*) FILTER (WHERE f.state = 'RUNNING'))::float8 AS running,
      min(f.accepted_at) AS "oldestAt", min(f.next_try_at) FILTER (WHERE f.state = 'QUEUED') AS "nextTryAt"
    FROM files f WHERE ${RETRYING} GROUP BY f.last_failure_code ORDER BY files DESC, code`)
}

export interface RetryingFilter {
  readonly code?: string | undefined
  readonly domain?: string | undefined
  readonly batchId?: string | undefined
  readonly root?: string | undefined
  readonly prefix?: string | undefined
}

/** Ids of the files that will be retried, in the order of acceptance; `after` is the last one of the page before. */
export async function retryingIds(
  db: Queryable,
  filter: RetryingFilter,
  page: {
    readonly limit: number
    readonly newestFirst: boolean
    readonly after?: { readonly acceptedAt: Date; readonly id: string } | undefined
  },
): Promise<string[]> {
  const { after, newestFirst } = page
  const [beyond, order] = newestFirst ? [Prisma.raw('<'), Prisma.raw('DESC')] : [Prisma.raw('>'), Prisma.raw('ASC')]
  const conditions = [
    RETRYING,
    ...(filter.code === undefined ? [] : [Prisma.sql`f.last_failure_code = ${filter.code}`]),
    ...(filter.domain === undefined ? [] : [Prisma.sql`f.domain_id = ${domainToUuid(filter.domain)}::uuid`]),
    ...(filter.batchId === undefined ? [] : [Prisma.sql`f.batch_id = ${uuid(filter.batchId, 'the batch id')}::uuid`]),
    ...(filter.root === undefined ? [] : [Prisma.sql`f.source_root = ${filter.root}`]),
    ...(filter.prefix === undefined ? [] : [Prisma.sql`starts_with(f.source_path, ${filter.prefix})`]),
    ...(after === undefined
      ? []
      : [Prisma.sql`(f.accepted_at, f.id) ${beyond} (${after.acceptedAt}, ${after.id}::uuid)`]),
  ]
  const rows = await db.query<{ id: string }>(Prisma.sql`
    SELECT f.id FROM files f WHERE ${Prisma.join(conditions, ' AND ')}
    ORDER BY f.accepted_at ${order}, f.id ${order} LIMIT ${page.limit}::int`)
  return rows.map(({ id }) => id)
}
