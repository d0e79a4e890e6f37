import { Prisma } from '../generated/client.js'
import type { Queryable } from '../db/records.js'
import { KEY_COLUMNS, keyRow, type RawKey } from './key-row.js'
import type { KeyRow } from '../db/terms.js'

/** Of these labels, the keys that are DESTROYED: a process that still asks its HSM for one may stop. */
export async function findDestroyedKeys(db: Queryable, labels: readonly string[]): Promise<KeyRow[]> {
  if (labels.length === 0) return []
  const rows = await db.query<RawKey>(Prisma.sql`
    SELECT ${KEY_COLUMNS} FROM master_keys k WHERE k.label = ANY (${[...labels]}::text[]) AND k.state = 'DESTROYED'`)
  return rows.map(keyRow)
}
