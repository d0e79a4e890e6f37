import { Prisma } from '../generated/client.js'
import { domainToUuid, uuid } from '../db/ids.js'
import type { Queryable } from '../db/records.js'
import { coveredByLease } from '../attempts/live-lease.js'
import { FILE_STATES, type FileState } from '../db/terms.js'

export type Counts = Readonly<Record<FileState, number>>

/** Files by state, of one batch or of all. @param domains those of these domains alone */
export async function countsByState(db: Queryable, batchId?: string, domains?: readonly string[]): Promise<Counts> {
  const where = {
    ...(batchId !== undefined && { batchId: uuid(batchId, 'the batch id') }),
    ...(domains !== undefined && { domainId: { in: domains.map(domainToUuid) } }),
  }
  const rows = await db.read(({ file }) => file.groupBy({ by: 'state', where, _count: true }))
  const of = new Map(rows.map((row) => [row.state, row._count]))
  return Object.fromEntries(FILE_STATES.map((state) => [state, of.get(state) ?? 0])) as Counts
}

/** What `fileCounts` counts: figures that an index holds, so that a display can ask for them often. */
export interface FileCounts {
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
}

export interface FileBalance extends FileCounts {
  /** Committed attempts of files that are neither STORED nor DELETED, or that name another attempt. */
  readonly strayCommits: number
}

type Row = Counts & Omit<FileCounts, 'byState' | 'difference'>

/**
 * Counted in the index by state; the rest looks at rows of files that are running or dead only. Counts have 64 bits in
 * Postgres, and as float8 they are exact up to 2⁵³, as numbers are here.
 */
const COUNTS = Prisma.sql`
  (SELECT coalesce(sum(n), 0)::float8 FROM states) AS accepted,
  ${Prisma.join(
    FILE_STATES.map(
      (state) =>
        Prisma.sql`(SELECT coalesce(sum(n), 0)::float8 FROM states WHERE state = ${state}) AS ${Prisma.raw(`"${state}"`)}`,
    ),
  )},
  (SELECT count(*)::float8 FROM files f WHERE f.state = 'RUNNING' AND f.lease_expires_at <= clock_timestamp()) AS "expiredLeases",
  (SELECT count(*)::float8 FROM files f WHERE f.state = 'DEAD' AND NOT EXISTS (
    SELECT FROM dead_letters d WHERE d.file_id = f.id AND d.state = 'OPEN' AND d.job_id IS NULL)) AS "deadWithoutLetter",
  (SELECT count(*)::float8 FROM attempts a JOIN files o ON o.id = a.file_id WHERE a.state = 'OPEN'
    AND NOT ${coveredByLease('o')}) AS "orphanedAttempts"`

const STATES = Prisma.sql`WITH states AS MATERIALIZED (SELECT state::text, count(*) AS n FROM files GROUP BY files.state)`

/**
 * Files by state, and what maintenance has to do. Exact, and one snapshot for all figures. Its cost is that of an index
 * of all files by state: for a display, which may ask often.
 */
export async function fileCounts(db: Queryable): Promise<FileCounts> {
  const [row] = await db.query<Row>(Prisma.sql`${STATES} SELECT ${COUNTS}`)
  if (row === undefined) throw new TypeError(NO_ROW)
  return countsOf(row)
}

/**
 * The balance of the records. `difference`, `deadWithoutLetter` and `strayCommits` must be 0: constraints ensure it,
 * and this checks a database that was restored without them. One snapshot for all figures. It reads every file and
 * attempt; `fileCounts` has all but the stray commits, for less.
 */
export async function fileBalance(db: Queryable): Promise<FileBalance> {
  const [row] = await db.query<Row & Pick<FileBalance, 'strayCommits'>>(Prisma.sql`
    ${STATES} SELECT ${COUNTS},
      (SELECT count(*)::float8 FROM attempts a JOIN files o ON o.id = a.file_id WHERE a.state = 'COMMITTED'
        AND (o.committed_attempt_id IS DISTINCT FROM a.id OR o.state NOT IN ('STORED', 'DELETED'))) AS "strayCommits"`)
  if (row === undefined) throw new TypeError(NO_ROW)
  return { ...countsOf(row), strayCommits: row.strayCommits }
}

const NO_ROW = 'a SELECT without FROM has one row'

function countsOf({ accepted, expiredLeases, orphanedAttempts, deadWithoutLetter, ...row }: Row): FileCounts {
  const byState = Object.fromEntries(FILE_STATES.map((state) => [state, row[state]])) as Counts
  const difference = accepted - FILE_STATES.reduce((sum, state) => sum + byState[state], 0)
  return { accepted, byState, difference, expiredLeases, orphanedAttempts, deadWithoutLetter }
}
