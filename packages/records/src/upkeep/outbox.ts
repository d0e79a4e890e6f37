import { Prisma } from '../generated/client.js'
import type { Queryable, Records } from '../db/records.js'
import { FILE_COLUMNS, fileRow, type RawFile } from '../files/file-row.js'
import type { FileRow } from '../db/terms.js'

/** A relay holds its rows while it brings jobs to Redis; the server ends a transaction that idles for 30 s. */
const RELAY_TIMEOUT_MS = 25_000

/** Rows deleted by one statement. */
const FORGET_CHUNK = 10_000

/** Brings jobs to Redis, for files that may already have theirs. A rejection leaves the rows for the next relay. */
export type Deliver = (files: readonly FileRow[]) => Promise<unknown>

interface Row extends RawFile {
  readonly outboxId: bigint
  readonly outboxGeneration: number
}

/**
 * Brings the oldest `limit` jobs of the outbox to the queue: one transaction takes the rows, `deliver` adds the jobs,
 * the rows are marked. Concurrent relays share the rows between them. A relay killed after delivering and before its
 * commit only makes the next one deliver again, which a job's id makes harmless.
 *
 * A file that has ended, or was replayed since, is marked without a job.
 * @returns how many rows were taken: fewer than `limit` means that none is left, or other relays have them
 * @throws RecordsError; errors of `deliver`
 */
export async function relayOutbox(
  records: Pick<Records, 'transaction'>,
  deliver: Deliver,
  { limit }: { readonly limit: number },
): Promise<number> {
  const failure: { error?: unknown } = {}
  try {
    return await records.transaction(
      async (tx) => {
        const rows = await take(tx, limit)
        const open = rows.filter(isWanted).map(fileRow)
        if (open.length > 0) {
          await deliver(open).catch((error: unknown) => {
            failure.error = error
            throw error
          })
        }
        await mark(tx, rows)
        return rows.length
      },
      { timeoutMs: RELAY_TIMEOUT_MS },
    )
  } catch (error) {
    // The transaction treats every error as the database's own.
    throw 'error' in failure ? failure.error : error
  }
}

function take(tx: Queryable, limit: number): Promise<Row[]> {
  return tx.query<Row>(Prisma.sql`
    SELECT o.id AS "outboxId", o.generation AS "outboxGeneration", ${FILE_COLUMNS}
    FROM outbox o JOIN files f ON f.id = o.file_id
    WHERE o.relayed_at IS NULL ORDER BY o.id LIMIT ${limit}::int FOR UPDATE OF o SKIP LOCKED`)
}

function isWanted({ state, generation, outboxGeneration }: Row): boolean {
  return (state === 'QUEUED' || state === 'RUNNING') && generation === outboxGeneration
}

async function mark(tx: Queryable, rows: readonly Row[]): Promise<void> {
  if (rows.length === 0) return
  const ids = rows.map(({ outboxId }) => outboxId)
  await tx.query(
    Prisma.sql`UPDATE outbox SET relayed_at = clock_timestamp() WHERE id = ANY (${ids}::bigint[]) RETURNING id`,
  )
}

export interface OutboxDepth {
  /** Rows that no relay has taken yet. */
  readonly waiting: number
  /** Age of the oldest of them in seconds; 0 when there is none. */
  readonly oldestSeconds: number
}

/** The relay's backlog. */
export async function outboxDepth(db: Queryable): Promise<OutboxDepth> {
  const [row] = await db.query<OutboxDepth>(Prisma.sql`
    SELECT count(*)::float8 AS waiting,
      greatest(0, coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0))::float8 AS "oldestSeconds"
    FROM outbox WHERE relayed_at IS NULL`)
  return row ?? { waiting: 0, oldestSeconds: 0 }
}

/**
 * Deletes the rows that were relayed longer ago than that. They hold no information beyond the file's: a new request
 * for a QUEUED file writes a new row. @returns how many
 */
export async function forgetRelayed(db: Queryable, olderThanSeconds: number): Promise<number> {
  let forgotten = 0
  for (;;) {
    const rows = await db.query(Prisma.sql`
      DELETE FROM outbox WHERE id IN (
        SELECT id FROM outbox WHERE relayed_at <= clock_timestamp() - make_interval(secs => ${olderThanSeconds}::float8)
        ORDER BY relayed_at LIMIT ${FORGET_CHUNK}::int FOR UPDATE SKIP LOCKED)
      RETURNING id`)
    forgotten += rows.length
    if (rows.length < FORGET_CHUNK) return forgotten
  }
}
