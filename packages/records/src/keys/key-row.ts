import type { Role, Suite } from '@sealfleet/format'
import { Prisma, type MasterKey } from '../generated/client.js'
import { domainFromUuid } from '../db/ids.js'
import type { KeyRow } from '../db/terms.js'

export const KEY_COLUMNS = Prisma.raw(`
  k.id, k.domain_id AS "domainId", k.role::text AS role, k.suite, k.version, k.state::text AS state, k.label,
  k.check_value AS "checkValue", k.check_record AS "checkRecord", k.known_answer AS "knownAnswer", k.evidence, k.created_at AS "createdAt",
  k.activated_at AS "activatedAt", k.retired_at AS "retiredAt", k.destroy_after AS "destroyAfter",
  k.destroyed_at AS "destroyedAt"`)

/** As Prisma reads it, and as KEY_COLUMNS name it. */
export type RawKey = Readonly<MasterKey>

export function keyRow(raw: RawKey): KeyRow {
  const { domainId, ...rest } = raw
  return {
    ...rest,
    role: raw.role.toLowerCase() as Role,
    domain: domainFromUuid(domainId),
    suite: raw.suite as Suite,
    ...answersOf(raw),
  }
}

/** The part of a key's row that sealing needs, read for each file: without dates and evidence. */
export type SealingKey = Pick<
  KeyRow,
  'id' | 'domain' | 'role' | 'suite' | 'version' | 'label' | 'checkValue' | 'checkRecord' | 'knownAnswer'
>

export const SEALING_KEY_COLUMNS = Prisma.raw(`
  k.id, k.role::text AS role, k.suite, k.version, k.label, k.check_value AS "checkValue",
  k.check_record AS "checkRecord", k.known_answer AS "knownAnswer"`)

/** As SEALING_KEY_COLUMNS name it. */
export type RawSealingKey = Pick<
  RawKey,
  'id' | 'role' | 'suite' | 'version' | 'label' | 'checkValue' | 'checkRecord' | 'knownAnswer'
>

export function sealingKey(raw: RawSealingKey, domain: string): SealingKey {
  return {
    id: raw.id,
    domain,
    role: raw.role.toLowerCase() as Role,
    suite: raw.suite as Suite,
    version: raw.version,
    label: raw.label,
    ...answersOf(raw),
  }
}

function answersOf(raw: RawSealingKey): Pick<KeyRow, 'checkValue' | 'checkRecord' | 'knownAnswer'> {
  const bytes = (value: Uint8Array | null): Buffer | null => (value === null ? null : Buffer.from(value))
  return {
    checkValue: bytes(raw.checkValue),
    checkRecord: bytes(raw.checkRecord),
    knownAnswer: bytes(raw.knownAnswer),
  }
}
