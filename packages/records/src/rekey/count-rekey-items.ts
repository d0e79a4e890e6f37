import { Prisma } from '../generated/client.js'
import { uuid } from '../db/ids.js'
import type { Queryable } from '../db/records.js'
import { REKEY_ITEM_STATES, type RekeyItemState } from './rekey-runs.js'

/** Items of these runs together, by state: from an index alone, for callers that poll. */
export async function countRekeyItems(
  db: Queryable,
  runIds: readonly string[],
): Promise<Readonly<Record<RekeyItemState, number>>> {
  const ids = runIds.map((id) => uuid(id, 'the run’s id'))
  const rows = await db.query<{ readonly state: RekeyItemState; readonly n: bigint }>(Prisma.sql`
    SELECT state::text AS state, count(*) AS n FROM rekey_items WHERE run_id = ANY (${ids}::uuid[]) GROUP BY state`)
  const counted = new Map(rows.map(({ state, n }) => [state, Number(n)]))
  return Object.fromEntries(REKEY_ITEM_STATES.map((state) => [state, counted.get(state) ?? 0])) as Record<
    RekeyItemState,
    number
  >
}
