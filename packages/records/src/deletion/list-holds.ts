import type { Prisma } from '../generated/client.js'
import { domainToUuid, uuid } from '../db/ids.js'
import type { Queryable } from '../db/records.js'
import { holdRow } from './hold-row.js'
import type { HoldRow } from '../db/terms.js'

/** Holds, oldest first: the active ones, or with `released` those of the past as well. Locks nothing: for display. */
export async function listHolds(
  db: Queryable,
  filter: { readonly domain?: string | undefined; readonly released?: boolean | undefined } = {},
): Promise<HoldRow[]> {
  const query = {
    where: {
      ...(filter.domain !== undefined && { domainId: domainToUuid(filter.domain) }),
      ...(filter.released !== true && { releasedAt: null }),
    },
    orderBy: [{ placedAt: 'asc' }, { id: 'asc' }],
  } satisfies Prisma.HoldFindManyArgs
  return (await db.read(({ hold }) => hold.findMany(query))).map(holdRow)
}

/** One hold, active or released. Undefined when there is none of that id. */
export async function getHold(db: Queryable, id: string): Promise<HoldRow | undefined> {
  const row = await db.read(({ hold }) => hold.findUnique({ where: { id: uuid(id, 'the hold’s id') } }))
  return row === null ? undefined : holdRow(row)
}
