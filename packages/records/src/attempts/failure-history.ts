import { uuid } from '../db/ids.js'
import type { Queryable } from '../db/records.js'

/** Failures of a file in one generation. Releases (outages, drains) are not failures of the file and don't count. */
export interface FailureHistory {
  readonly burned: number
  /** Failures with the given code. */
  readonly sameCode: number
}

/** Counts the failures of a file's generation that count as attempts. Zeros for a file that does not exist. */
export async function failureHistory(
  db: Queryable,
  input: { readonly fileId: string; readonly generation: number; readonly code: string },
): Promise<FailureHistory> {
  const { fileId, generation, code } = input
  const where = { fileId: uuid(fileId, 'the file id'), generation, disposition: { not: 'RELEASE' } } as const
  const rows = await db.read(({ failure }) => failure.groupBy({ by: 'code', where, _count: true }))
  return {
    burned: rows.reduce((sum, row) => sum + row._count, 0),
    sameCode: rows.find((row) => row.code === code)?._count ?? 0,
  }
}
