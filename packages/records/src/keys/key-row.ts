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
  const { domainId, checkValue, checkRecord, knownAnswer, ...rest } = raw
  return {
    ...rest,
    role: raw.role.toLowerCase() as Role,
    domain: domainFromUuid(domainId),
    suite: raw.suite as Suite,
    checkValue: checkValue === null ? null : Buffer.from(checkValue),
    checkRecord: checkRecord === null ? null : Buffer.from(checkRecord),
    knownAnswer: knownAnswer === null ? null : Buffer.from(knownAnswer),
  }
}
