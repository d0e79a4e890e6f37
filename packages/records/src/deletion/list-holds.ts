import { Prisma } from '../generated/client.js'
import { domainToUuid } from '../db/ids.js'
import type { Queryable } from '../db/records.js'
import { HOLD_COLUMNS, holdRow, type RawHold } from './hold-row.js'
import type { HoldRow } from '../db/terms.js'

/** Holds, oldest first: the active ones, or with `released` those of the past as well. Locks nothing: for display. */
export async function listHolds(
  db: Queryable,
  filter: { readonly domain?: string | undefined; readonly released?: boolean | undefined } = {},
): Promise<HoldRow[]> {
  const domainId = filter.domain === undefined ? null : domainToUuid(filter.domain)
  const rows = await db.query<RawHold>(Prisma.sql`
    SELECT ${HOLD_COLUMNS} FROM holds h
    WHERE (${domainId}::uuid IS NULL OR h.domain_id = ${domainId}::uuid)
      AND (${filter.released === true} OR h.released_at IS NULL)
    ORDER BY h.placed_at, h.id`)
  return rows.map(holdRow)
}

/** One hold, active or released. Undefined when there is none of that id. */
export async function getHold(db: Queryable, id: string): Promise<HoldRow | undefined> {
  const [row] = await db.query<RawHold>(Prisma.sql`SELECT ${HOLD_COLUMNS} FROM holds h WHERE h.id = ${id}::uuid`)
  return row === undefined ? undefined : holdRow(row)
}
