import { RecordsError } from '../db/errors.js'
import { Prisma } from '../generated/client.js'
import { uuid } from '../db/ids.js'
import type { Queryable } from '../db/records.js'

/** Nonces that were unwrapped from one KEK and wrapped under another. */
export interface Rewrapped {
  readonly attemptId: string
  readonly from: { readonly kekKeyId: string; readonly wrapped: Uint8Array }
  /** 92 bytes under the KEK that `rewrapNonces` names. */
  readonly wrapped: Uint8Array
}

interface Row {
  readonly usable: boolean
  readonly ids: string[]
}

/**
 * Exchanges wrapped nonces, each only if it still is the one that was opened: the result of a faster rewrap or shred
 * stays. The KEK is locked FOR SHARE in ACTIVE, so that a rotation or a destruction comes before or after.
 * @returns the ids of the exchanged attempts
 * @throws RecordsError NO_ACTIVE_KEY when that KEK is not, or no longer, the active one; then nothing was written
 */
export async function rewrapNonces(db: Queryable, kekKeyId: string, batch: readonly Rewrapped[]): Promise<string[]> {
  const list = JSON.stringify(
    batch.map(({ attemptId, from, wrapped }) => ({
      id: uuid(attemptId, 'the attempt id'),
      old_kek: uuid(from.kekKeyId, 'the key id'),
      old_hex: hex(from.wrapped),
      new_hex: hex(wrapped),
    })),
  )
  const [row] = await db.query<Row>(Prisma.sql`
    WITH kek AS MATERIALIZED (
      SELECT id FROM master_keys WHERE id = ${uuid(kekKeyId, 'the key id')}::uuid AND role = 'KEK' AND state = 'ACTIVE' FOR SHARE
    ), asked AS MATERIALIZED (
      SELECT id, old_kek, decode(old_hex, 'hex') AS old, decode(new_hex, 'hex') AS new
      FROM jsonb_to_recordset(${list}::jsonb) AS r (id uuid, old_kek uuid, old_hex text, new_hex text)
    ), held AS MATERIALIZED (
      -- In one order, so that two rewraps never wait for each other.
      SELECT a.id FROM attempts a JOIN asked ON asked.id = a.id
      WHERE a.kek_key_id = asked.old_kek AND a.wrapped_nonces = asked.old AND EXISTS (SELECT FROM kek)
      ORDER BY a.id FOR UPDATE OF a
    ), exchanged AS (
      UPDATE attempts a SET kek_key_id = kek.id, wrapped_nonces = asked.new
      FROM held, asked, kek WHERE a.id = held.id AND asked.id = held.id
      RETURNING a.id
    )
    SELECT EXISTS (SELECT FROM kek) AS usable, coalesce(array_agg(id::text), '{}') AS ids FROM exchanged`)
  if (row?.usable !== true)
    throw new RecordsError('NO_ACTIVE_KEY', 'the KEK is not active any more: it was rotated meanwhile', {
      fix: 'run it again: it goes on under the new one',
    })
  return row.ids
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')
}
