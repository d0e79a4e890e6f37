import { randomUUID } from 'node:crypto'
import { RecordsError } from '../db/errors.js'
import { Prisma } from '../generated/client.js'
import { uuid } from '../db/ids.js'
import type { Queryable } from '../db/records.js'
import { countsByState, type Counts } from './counts.js'

export interface BatchRow {
  readonly id: string
  readonly name: string | null
  /** The number of files that the producer announced, if it knew. */
  readonly expected: number | null
  readonly createdBy: string
  readonly createdAt: Date
}

const COLUMNS = Prisma.raw(`id, name, expected, created_by AS "createdBy", created_at AS "createdAt"`)

/** Makes a batch, or finds the one with that id. */
export async function createBatch(
  db: Queryable,
  input: {
    readonly id?: string | undefined
    readonly name?: string | undefined
    readonly expected?: number | undefined
    readonly createdBy: string
  },
): Promise<BatchRow> {
  const id = uuid(input.id ?? randomUUID(), 'the batch id')
  await db.query(Prisma.sql`
    INSERT INTO batches (id, name, expected, created_by)
    VALUES (${id}::uuid, ${input.name ?? null}, ${input.expected ?? null}::int, ${input.createdBy})
    ON CONFLICT (id) DO NOTHING RETURNING id`)
  const batch = await getBatch(db, id)
  if (batch === undefined) throw new RecordsError('NOT_FOUND', 'the batch is gone')
  return batch
}

export async function getBatch(db: Queryable, id: string): Promise<BatchRow | undefined> {
  const [row] = await db.query<BatchRow>(
    Prisma.sql`SELECT ${COLUMNS} FROM batches WHERE id = ${uuid(id, 'the batch id')}::uuid`,
  )
  return row
}

export interface BatchProgress {
  readonly batch: BatchRow
  readonly accepted: number
  readonly byState: Counts
  /** STORED, DEAD, DISCARDED or DELETED: its state no longer changes by itself. */
  readonly finished: number
  readonly storedPlaintextBytes: number
  /** Codes of the dead files, with their numbers. */
  readonly deadByCode: Readonly<Record<string, number>>
}

/** One batch's progress and report. Undefined when there is no such batch. */
export async function batchProgress(db: Queryable, batchId: string): Promise<BatchProgress | undefined> {
  const batch = await getBatch(db, batchId)
  if (batch === undefined) return undefined
  const byState = await countsByState(db, batchId)
  const [sum] = await db.query<{ bytes: bigint; dead: Record<string, number> }>(Prisma.sql`
    SELECT coalesce((SELECT sum(a.plaintext_length) FROM files f JOIN attempts a ON a.id = f.committed_attempt_id
        WHERE f.batch_id = ${batchId}::uuid AND f.state = 'STORED'), 0)::bigint AS bytes,
      coalesce((SELECT jsonb_object_agg(code, n) FROM (
        SELECT coalesce(last_failure_code, 'UNCLASSIFIED') AS code, count(*)::int AS n FROM files
        WHERE batch_id = ${batchId}::uuid AND state = 'DEAD' GROUP BY 1) x), '{}'::jsonb) AS dead`)
  return {
    batch,
    byState,
    accepted: Object.values(byState).reduce((a, b) => a + b, 0),
    finished: byState.STORED + byState.DEAD + byState.DISCARDED + byState.DELETED,
    storedPlaintextBytes: Number(sum?.bytes ?? 0),
    deadByCode: sum?.dead ?? {},
  }
}
