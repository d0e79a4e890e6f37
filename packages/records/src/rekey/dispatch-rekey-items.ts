import { Prisma } from '../generated/client.js'
import { uuid } from '../db/ids.js'
import type { Queryable, Records } from '../db/records.js'

/** An item that gets a job. */
export interface DueItem {
  readonly id: string
  /** Failures so far: part of the job's id, with the item's id. */
  readonly tries: number
}

export interface GiveOptions {
  /** Items to dispatch, at most. */
  readonly limit: number
  /**
   * An item whose job was added at least this long ago and that is not being worked on gets another: Redis may have
   * lost the first.
   */
  readonly lostAfterSeconds: number
}

/** Seconds over which a run's rate is kept, or the time of one file if that is longer. */
const WINDOW_S = 2

/** Time limit of the transaction: a dispatcher holds the run's row while it brings jobs to Redis. */
const TIMEOUT_MS = 25_000

/**
 * Takes items that are due, brings them to the queue through `deliver`, and marks them as dispatched: in one
 * transaction that holds the run's row, so that several dispatchers share one rate. A crash after delivering makes the
 * next one deliver again, which the job's id makes harmless.
 *
 * Due are QUEUED items that were never dispatched, were dispatched before their `not_before` (they came back), or were
 * dispatched long ago; and RUNNING ones whose lease ran out long ago. The run's rate limits the number in every window.
 * @returns how many were dispatched. @throws RecordsError; errors of `deliver`
 */
export async function dispatchRekeyItems(
  records: Pick<Records, 'transaction'>,
  runId: string,
  deliver: (items: readonly DueItem[]) => Promise<unknown>,
  options: GiveOptions,
): Promise<number> {
  const id = uuid(runId, 'the run’s id')
  return records.transaction(
    async (tx) => {
      const room = Math.min(options.limit, await allowance(tx, id))
      if (room <= 0) return 0
      const items = await due(tx, id, room, options.lostAfterSeconds)
      if (items.length === 0) return 0
      await deliver(items)
      const ids = items.map((item) => item.id)
      await tx.query(Prisma.sql`
        UPDATE rekey_items SET queued_at = clock_timestamp() WHERE id = ANY (${ids}::uuid[]) RETURNING id`)
      return items.length
    },
    { timeoutMs: TIMEOUT_MS },
  )
}

/**
 * Locks the run, and returns how many items its rate allows now: 0 when it is not ACTIVE, or another dispatcher has it.
 */
async function allowance(tx: Queryable, runId: string): Promise<number> {
  const [run] = await tx.query<{ readonly active: boolean; readonly rate: number | null }>(Prisma.sql`
    SELECT state = 'ACTIVE' AS active, files_per_second AS rate FROM rekey_runs
    WHERE id = ${runId}::uuid FOR UPDATE SKIP LOCKED`)
  if (run?.active !== true) return 0
  if (run.rate === null) return Infinity
  const window = Math.max(WINDOW_S, 1 / run.rate)
  const [given] = await tx.query<{ readonly n: number }>(Prisma.sql`
    SELECT count(*)::int AS n FROM rekey_items
    WHERE run_id = ${runId}::uuid AND queued_at > clock_timestamp() - make_interval(secs => ${window}::float8)`)
  return Math.floor(run.rate * window + 1e-9) - (given?.n ?? 0)
}

function due(tx: Queryable, runId: string, limit: number, lostAfterSeconds: number): Promise<DueItem[]> {
  const lost = Prisma.sql`clock_timestamp() - make_interval(secs => ${lostAfterSeconds}::float8)`
  return tx.query<DueItem>(Prisma.sql`
    (SELECT id, tries FROM rekey_items
      WHERE run_id = ${runId}::uuid AND state = 'QUEUED' AND not_before <= clock_timestamp()
        AND (queued_at IS NULL OR queued_at < not_before OR queued_at < ${lost})
      ORDER BY not_before, id LIMIT ${limit}::int)
    UNION ALL
    (SELECT id, tries FROM rekey_items
      WHERE run_id = ${runId}::uuid AND state = 'RUNNING' AND lease_expires_at < ${lost}
        AND (queued_at IS NULL OR queued_at < ${lost})
      ORDER BY not_before, id LIMIT ${limit}::int)
    LIMIT ${limit}::int`)
}
