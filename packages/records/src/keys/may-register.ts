import { Prisma } from '../generated/client.js'
import { lacksRight } from '../db/missing-right.js'
import type { Queryable } from '../db/records.js'

/**
 * Anyone who makes a key in the HSM has to be able to register it: asked before, since a key that no one registered stays in the token.
 * @throws RecordsError DB_ACCESS_DENIED for a user that only reads
 */
export async function assertMayRegister(db: Queryable): Promise<void> {
  const [row] = await db.query<{ may: boolean }>(Prisma.sql`SELECT has_table_privilege('master_keys', 'INSERT') AS may`)
  if (row?.may !== true) throw lacksRight({ right: 'INSERT', object: 'table master_keys' })
}
