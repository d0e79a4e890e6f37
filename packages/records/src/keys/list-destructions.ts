import { Prisma } from '../generated/client.js'
import { uuid } from '../db/ids.js'
import type { Queryable } from '../db/records.js'
import { DESTRUCTION_COLUMNS, destructionRow, type DestructionRow, type RawDestruction } from './destruction-row.js'

export interface DestructionFilter {
  readonly id?: string | undefined
  readonly keyId?: string | undefined
  /**
   * open: neither cancelled nor carried out. due: open, and its time has come. uncopied: carried out, but not yet in
   * the store.
   */
  readonly only?: 'open' | 'due' | 'uncopied' | undefined
}

/** In the order in which they were scheduled. */
export async function listDestructions(db: Queryable, filter: DestructionFilter = {}): Promise<DestructionRow[]> {
  const open = Prisma.sql`d.cancelled_at IS NULL AND d.carried_out_at IS NULL`
  const only = {
    open,
    due: Prisma.sql`${open} AND d.execute_after <= clock_timestamp()`,
    uncopied: Prisma.sql`d.carried_out_at IS NOT NULL AND d.copied_at IS NULL`,
  }
  const conditions = [
    ...(filter.id === undefined ? [] : [Prisma.sql`d.id = ${uuid(filter.id, 'the destruction id')}::uuid`]),
    ...(filter.keyId === undefined ? [] : [Prisma.sql`d.key_id = ${uuid(filter.keyId, 'the key id')}::uuid`]),
    ...(filter.only === undefined ? [] : [only[filter.only]]),
  ]
  const where = conditions.length === 0 ? Prisma.empty : Prisma.sql`WHERE ${Prisma.join(conditions, ' AND ')}`
  const rows = await db.query<RawDestruction>(Prisma.sql`
    SELECT ${DESTRUCTION_COLUMNS} FROM destructions d JOIN master_keys k ON k.id = d.key_id ${where}
    ORDER BY d.scheduled_at, d.id`)
  return rows.map(destructionRow)
}
