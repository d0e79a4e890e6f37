import { Prisma } from '../generated/client.js'
import { uuid } from '../db/ids.js'
import type { Queryable } from '../db/records.js'
import type { Disposition, FailureRow } from '../db/terms.js'

interface RawFailure extends Omit<FailureRow, 'disposition'> {
  readonly disposition: Uppercase<Disposition>
}

/** A file's failures of all generations, oldest first: the history in a dead letter. */
export async function listFailures(db: Queryable, fileId: string): Promise<FailureRow[]> {
  const rows = await db.query<RawFailure>(Prisma.sql`
    SELECT attempt_no AS "attemptNo", attempt_id AS "attemptId", generation, owner, code, class, message,
      disposition::text AS disposition, at
    FROM failures WHERE file_id = ${uuid(fileId, 'the file id')}::uuid ORDER BY id`)
  return rows.map((row) => ({ ...row, disposition: row.disposition.toLowerCase() as Disposition }))
}
