import { Prisma } from '../generated/client.js'
import type { Queryable } from '../db/records.js'

/**
 * Whether the records hold a file that no recovery wrote: its source root is another one, and that owner made no
 * attempt at it.
 */
export async function hasFilesNotRecovered(
  db: Queryable,
  { root, owner }: { readonly root: string; readonly owner: string },
): Promise<boolean> {
  const [row] = await db.query<{ found: boolean }>(Prisma.sql`
    SELECT EXISTS (SELECT FROM files f WHERE f.source_root <> ${root}
      AND NOT EXISTS (SELECT FROM attempts a WHERE a.file_id = f.id AND a.owner = ${owner})) AS found`)
  return row?.found === true
}
