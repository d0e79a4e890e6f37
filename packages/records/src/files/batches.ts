import { randomUUID } from 'node:crypto'
import { RecordsError } from '../db/errors.js'
import { Prisma, type Batch } from '../generated/client.js'
import { domainToUuid, uuid } from '../db/ids.js'
import type { Queryable } from '../db/records.js'
import { countsByState, type Counts } from './counts.js'

export type BatchRow = Readonly<Batch>

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
  const where = { id: uuid(id, 'the batch id') }
  return (await db.read(({ batch }) => batch.findUnique({ where }))) ?? undefined
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

/**
 * One batch's progress and report. Undefined when there is no such batch.
 * @param domains counts files of these domains alone
 */
export async function batchProgress(
  db: Queryable,
  batchId: string,
  domains?: readonly string[],
): Promise<BatchProgress | undefined> {
  const batch = await getBatch(db, batchId)
  if (batch === undefined) return undefined
  const byState = await countsByState(db, batchId, domains)
  const ids = domains?.map(domainToUuid)
  const [sum] = await db.query<{ bytes: bigint }>(Prisma.sql`
    SELECT coalesce(sum(a.plaintext_length), 0)::bigint AS bytes
    FROM files f JOIN attempts a ON a.id = f.committed_attempt_id
    WHERE f.batch_id = ${batchId}::uuid AND f.state = 'STORED'
      ${ids === undefined ? Prisma.empty : Prisma.sql`AND f.domain_id = ANY(${ids}::uuid[])`}`)
  const dead = await db.read(({ file }) =>
    file.groupBy({
      by: 'lastFailureCode',
      where: { batchId, state: 'DEAD', ...(ids !== undefined && { domainId: { in: ids } }) },
      _count: true,
    }),
  )
  return {
    batch,
    byState,
    accepted: Object.values(byState).reduce((a, b) => a + b, 0),
    finished: byState.STORED + byState.DEAD + byState.DISCARDED + byState.DELETED,
    storedPlaintextBytes: Number(sum?.bytes ?? 0),
    deadByCode: Object.fromEntries(dead.map((row) => [row.lastFailureCode ?? 'UNCLASSIFIED', row._count])),
  }
}
