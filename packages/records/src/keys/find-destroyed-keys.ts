import type { Queryable } from '../db/records.js'
import { keyRow } from './key-row.js'
import type { KeyRow } from '../db/terms.js'

/** Of these labels, the keys that are DESTROYED: a process that still asks its HSM for one may stop. */
export async function findDestroyedKeys(db: Queryable, labels: readonly string[]): Promise<KeyRow[]> {
  if (labels.length === 0) return []
  const where = { label: { in: [...labels] }, state: 'DESTROYED' as const }
  return (await db.read(({ masterKey }) => masterKey.findMany({ where }))).map(keyRow)
}
