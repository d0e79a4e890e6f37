import { Prisma } from '../generated/client.js'
import { uuid } from '../db/ids.js'
import type { Queryable } from '../db/records.js'
import { coveredByLease } from '../attempts/live-lease.js'
import { FILE_STATES, type FileState } from '../db/terms.js'

export type Counts = Readonly<Record<FileState, number>>

/** Files by state, of one batch or of all. */
export async function countsByState(db: Queryable, batchId?: string): Promise<Counts> {
  const where = { ...(batchId !== undefined && { batchId: uuid(batchId, 'the batch id') }) }
  const rows = await db.read(({ file }) => file.groupBy({ by: 'state', where, _count: true }))
  const of = new Map(rows.map((row) => [row.state, row._count]))
  return Object.fromEntries(FILE_STATES.map((state) => [state, of.get(state) ?? 0])) as Counts
}

export interface FileBalance {
  readonly accepted: number
  readonly byState: Counts
  /** accepted − Σ states. */
  readonly difference: number
  /** Running files whose lease has run out: work for maintenance, not yet an error. */
  readonly expiredLeases: number
  /** OPEN attempts without a live lease: likewise. */
  readonly orphanedAttempts: number
  /** Dead files without an open dead letter. */
  readonly deadWithoutLetter: number
  /** Committed attempts of files that are neither STORED nor DELETED, or that name another attempt. */
  readonly strayCommits: number
}

/**
 * The balance of the records. `difference`, `deadWithoutLetter` and `strayCommits` must be 0: constraints ensure it,
 * and this checks a database that was restored without them. One snapshot for all figures.
 */
export async function fileBalance(db: Queryable): Promise<FileBalance> {
  const [row] = await db.query<
    Record<FileState | keyof Omit<FileBalance, 'byState' | 'difference'>, number>
  >(Prisma.sql`
    SELECT count(*)::int AS accepted,
      ${Prisma.join(
        FILE_STATES.map(
          (state) => Prisma.sql`count(*) FILTER (WHERE f.state::text = ${state})::int AS ${Prisma.raw(`"${state}"`)}`,
        ),
      )},
      count(*) FILTER (WHERE f.state = 'RUNNING' AND f.lease_expires_at <= clock_timestamp())::int AS "expiredLeases",
      count(*) FILTER (WHERE f.state = 'DEAD' AND NOT EXISTS (
        SELECT FROM dead_letters d WHERE d.file_id = f.id AND d.state = 'OPEN' AND d.job_id IS NULL))::int AS "deadWithoutLetter",
      (SELECT count(*)::int FROM attempts a JOIN files o ON o.id = a.file_id WHERE a.state = 'OPEN'
        AND NOT ${coveredByLease('o')}) AS "orphanedAttempts",
      (SELECT count(*)::int FROM attempts a JOIN files o ON o.id = a.file_id WHERE a.state = 'COMMITTED'
        AND (o.committed_attempt_id IS DISTINCT FROM a.id OR o.state NOT IN ('STORED', 'DELETED'))) AS "strayCommits"
    FROM files f`)
  if (row === undefined) throw new TypeError('an aggregate without GROUP BY has one row')
  const byState = Object.fromEntries(FILE_STATES.map((state) => [state, row[state]])) as Counts
  return {
    accepted: row.accepted,
    byState,
    difference: row.accepted - FILE_STATES.reduce((sum, state) => sum + byState[state], 0),
    expiredLeases: row.expiredLeases,
    orphanedAttempts: row.orphanedAttempts,
    deadWithoutLetter: row.deadWithoutLetter,
    strayCommits: row.strayCommits,
  }
}
