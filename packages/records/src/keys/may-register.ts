import { Prisma } from '../generated/client.js'
import { lacksRight } from '../db/missing-right.js'
import type { Queryable } from '../db/records.js'

/**
 * Checks the right to register a key before it is made in the HSM, since an unregistered key stays in the token.
 * @throws RecordsError DB_ACCESS_DENIED for a user that only reads
 */
export async function assertMayRegister(db: Queryable): Promise<void> {
  const [row] = await db.query<{ may: boolean }>(Prisma.sql`SELECT has_table_privilege('master_keys', 'INSERT') AS may`)
  if (row?.may !== true) throw lacksRight({ right: 'INSERT', object: 'table master_keys' })
}
