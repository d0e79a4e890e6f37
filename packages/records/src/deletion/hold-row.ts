import { Prisma, type Hold } from '../generated/client.js'
import { domainFromUuid } from '../db/ids.js'
import type { HoldRow } from '../db/terms.js'

/** Columns of `h` under the names below. */
export const HOLD_COLUMNS = Prisma.raw(`
  h.id::text AS id, h.domain_id::text AS "domainId", h.file_id::text AS "fileId", h.reason, h.placed_by AS "placedBy",
  h.placed_at AS "placedAt", h.released_at AS "releasedAt", h.released_by AS "releasedBy"`)

/** As Prisma reads it, and as HOLD_COLUMNS name it. */
export type RawHold = Readonly<Hold>

export function holdRow({ domainId, ...rest }: RawHold): HoldRow {
  return { ...rest, domain: domainFromUuid(domainId) }
}
