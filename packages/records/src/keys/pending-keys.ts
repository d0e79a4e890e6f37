import { Prisma } from '../generated/client.js'
import type { Queryable } from '../db/records.js'
import { KEY_COLUMNS, keyRow, type RawKey } from './key-row.js'
import type { KeyRow } from '../db/terms.js'

/** More than any rotation makes; a rebuilt database may hold thousands of old versions that will never be activated. */
const AT_MOST = 200

/**
 * Key versions that are registered and not active yet, the youngest first: workers look for them before a file is
 * sealed with one.
 */
export async function listPendingKeys(db: Queryable): Promise<KeyRow[]> {
  const rows = await db.query<RawKey>(Prisma.sql`
    SELECT ${KEY_COLUMNS} FROM master_keys k WHERE k.state = 'PENDING' ORDER BY k.created_at DESC, k.id LIMIT ${AT_MOST}`)
  return rows.map(keyRow)
}
