import { Prisma } from '../generated/client.js'
import { uuid } from '../db/ids.js'
import type { Queryable } from '../db/records.js'
import { REKEY_ITEM_STATES, type RekeyItemState } from './rekey-runs.js'

export interface RekeyCounts {
  readonly items: Readonly<Record<RekeyItemState, number>>
  /** Plaintext of all files of the run, and of those that are DONE. */
  readonly bytes: number
  readonly doneBytes: number
  /** FAILED ones, by code. */
  readonly failedByCode: Readonly<Record<string, number>>
}

/** The progress of a run. Reads all of its items. */
export async function rekeyCounts(db: Queryable, runId: string): Promise<RekeyCounts> {
  const rows = await db.query<{
    readonly state: RekeyItemState
    readonly code: string | null
    readonly n: number
    readonly bytes: number
  }>(Prisma.sql`
    SELECT i.state::text AS state, CASE WHEN i.state = 'FAILED' THEN i.failure_code END AS code, count(*)::float8 AS n,
      coalesce(sum(a.plaintext_length), 0)::float8 AS bytes
    FROM rekey_items i JOIN files f ON f.id = i.file_id LEFT JOIN attempts a ON a.id = f.committed_attempt_id
    WHERE i.run_id = ${uuid(runId, 'the run’s id')}::uuid GROUP BY 1, 2`)
  const sum = (of: (row: (typeof rows)[number]) => number): number => rows.reduce((total, row) => total + of(row), 0)
  const items = Object.fromEntries(
    REKEY_ITEM_STATES.map((state) => [state, sum((row) => (row.state === state ? row.n : 0))]),
  ) as Record<RekeyItemState, number>
  return {
    items,
    bytes: sum(({ bytes }) => bytes),
    doneBytes: sum((row) => (row.state === 'DONE' ? row.bytes : 0)),
    failedByCode: Object.fromEntries(rows.flatMap(({ code, n }) => (code === null ? [] : [[code, n]]))),
  }
}

export interface FailedItem {
  readonly id: string
  readonly fileId: string
  readonly code: string
  readonly tries: number
  readonly endedAt: Date
}

/** The FAILED items of a run, the latest first. */
export function failedRekeyItems(db: Queryable, runId: string, limit: number): Promise<FailedItem[]> {
  return db.query<FailedItem>(Prisma.sql`
    SELECT id, file_id AS "fileId", failure_code AS code, tries, ended_at AS "endedAt" FROM rekey_items
    WHERE run_id = ${uuid(runId, 'the run’s id')}::uuid AND state = 'FAILED' ORDER BY ended_at DESC, id LIMIT ${limit}::int`)
}
