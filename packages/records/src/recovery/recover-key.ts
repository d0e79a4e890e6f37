import { keyLabel } from '@sealfleet/format'
import { randomUUID } from 'node:crypto'
import { RecordsError } from '../db/errors.js'
import { Prisma } from '../generated/client.js'
import { domainToUuid } from '../db/ids.js'
import type { Queryable } from '../db/records.js'
import { KEY_COLUMNS, keyRow, type RawKey } from '../keys/key-row.js'
import type { KeyRow } from '../db/terms.js'
import { assertOwnAnswers, getMasterKey, type KeyRegistration } from '../keys/master-keys.js'

export interface KeyRecovery extends KeyRegistration {
  /**
   * DECRYPT_ONLY: a version with later ones. ACTIVE: the newest, if none is active yet. DESTROYED: a signed record says
   * so, and the token has no such key.
   */
  readonly state: 'ACTIVE' | 'DECRYPT_ONLY' | 'DESTROYED'
  /** When it was destroyed; needed for DESTROYED. */
  readonly destroyedAt?: Date | undefined
}

/**
 * Records a key version whose record was lost, in the state that the token and signed records show: an INSERT, since no
 * PENDING key becomes DECRYPT_ONLY or DESTROYED without having been active. A version that has a record is unchanged.
 * @throws RecordsError CONFLICT when that version is recorded with another suite or check value, or another version is
 * active; NOT_FOUND for an unknown domain; INVALID
 */
export async function recoverMasterKey(
  db: Queryable,
  input: KeyRecovery,
): Promise<{ readonly created: boolean; readonly key: KeyRow }> {
  const { ref, state } = input
  await assertOwnAnswers(db, input)
  const now = Prisma.sql`clock_timestamp()`
  const [row] = await db.query<RawKey>(Prisma.sql`
    INSERT INTO master_keys AS k (id, domain_id, role, suite, version, state, label, check_value, check_record, evidence,
      activated_at, retired_at, destroyed_at)
    VALUES (${randomUUID()}::uuid, ${domainToUuid(ref.domain)}::uuid, ${ref.role.toUpperCase()}::key_role, ${ref.suite}::int,
      ${ref.version}::int, ${state}::key_state, ${keyLabel(ref)}, ${bytes(input.checkValue)}::bytea,
      ${bytes(input.checkRecord)}::bytea, ${JSON.stringify(input.evidence ?? {})}::jsonb,
      ${now}, ${state === 'ACTIVE' ? Prisma.sql`NULL` : now}, ${input.destroyedAt ?? null}::timestamptz)
    ON CONFLICT (domain_id, role, version) DO NOTHING
    RETURNING ${KEY_COLUMNS}`)
  if (row !== undefined) return { created: true, key: keyRow(row) }
  const key = await getMasterKey(db, ref)
  const same =
    key?.suite === ref.suite &&
    (key.checkValue === null || input.checkValue === undefined || key.checkValue.equals(input.checkValue))
  if (!same) throw new RecordsError('CONFLICT', `${keyLabel(ref)} is recorded with another suite or check value`)
  return { created: false, key }
}

function bytes(value: Uint8Array | undefined): Buffer | null {
  return value === undefined ? null : Buffer.from(value)
}
