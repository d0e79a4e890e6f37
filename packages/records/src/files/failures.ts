import type { Prisma } from '../generated/client.js'
import { uuid } from '../db/ids.js'
import type { Queryable } from '../db/records.js'
import type { Disposition, FailureRow } from '../db/terms.js'

/** A file's failures of all generations, oldest first: the history in a dead letter. */
export async function listFailures(db: Queryable, fileId: string): Promise<FailureRow[]> {
  const query = {
    where: { fileId: uuid(fileId, 'the file id') },
    omit: { id: true, fileId: true },
    orderBy: { id: 'asc' },
  } satisfies Prisma.FailureFindManyArgs
  const rows = await db.read(({ failure }) => failure.findMany(query))
  return rows.map((row) => ({ ...row, disposition: row.disposition.toLowerCase() as Disposition }))
}
