import { Prisma } from '../generated/client.js'
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
  const [row] = await db.query<FailureHistory>(Prisma.sql`
    SELECT count(*)::int AS burned, (count(*) FILTER (WHERE code = ${input.code}))::int AS "sameCode"
    FROM failures
    WHERE file_id = ${uuid(input.fileId, 'the file id')}::uuid AND generation = ${input.generation}::int
      AND disposition <> 'RELEASE'`)
  return row ?? { burned: 0, sameCode: 0 }
}
