import { Prisma } from '../generated/client.js'
import type { Queryable } from '../records.js'

/** Whether the register holds a file whose source root is another one. */
export async function hasFilesNotOfRoot(db: Queryable, root: string): Promise<boolean> {
  const [row] = await db.query<{ found: boolean }>(
    Prisma.sql`SELECT EXISTS (SELECT FROM files WHERE source_root <> ${root}) AS found`,
  )
  return row?.found === true
}
