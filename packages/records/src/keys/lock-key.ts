import { RecordsError } from '../db/errors.js'
import { Prisma } from '../generated/client.js'
import { uuid } from '../db/ids.js'
import type { Queryable } from '../db/records.js'
import { KEY_COLUMNS, keyRow, type RawKey } from './key-row.js'
import type { KeyRow } from '../db/terms.js'

/**
 * Locks the key's row until the transaction ends: no attempt is opened or committed under it, and those in progress
 * have ended and are visible to the following statements.
 * @throws RecordsError NOT_FOUND
 */
export async function lockMasterKey(tx: Queryable, keyId: string): Promise<KeyRow> {
  const [row] = await tx.query<RawKey>(Prisma.sql`
    SELECT ${KEY_COLUMNS} FROM master_keys k WHERE k.id = ${uuid(keyId, 'the key id')}::uuid FOR UPDATE`)
  if (row === undefined) throw new RecordsError('NOT_FOUND', 'no master key has that id')
  return keyRow(row)
}

/**
 * Lets this transaction wait for an HSM between two statements without the server ending it.
 * @param ms longer than the HSM takes in all
 */
export async function allowIdle(tx: Queryable, ms: number): Promise<void> {
  await tx.query(Prisma.sql`SELECT set_config('idle_in_transaction_session_timeout', ${String(ms)}, TRUE) AS set`)
}
