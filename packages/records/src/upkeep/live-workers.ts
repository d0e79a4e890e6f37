import { Prisma } from '../generated/client.js'
import type { Queryable } from '../db/records.js'

/** A key version that a worker checked on its tokens and did not find right on one of them. */
export interface LackedKey {
  /** The row of the key. */
  readonly key: string
  /** The worker's name for the token: `primary`, `secondary-1`, … */
  readonly token: string
  /** As in packages/hsm: pending, unknown, mismatch or unreachable. */
  readonly state: string
}

/** A worker's report on key versions that are not active yet: part of its heartbeat. */
export interface KeyReport {
  /** Rows of keys whose check value was right on every token of the worker. */
  readonly confirmed: readonly string[]
  readonly lacking: readonly LackedKey[]
}

export interface LiveWorker {
  readonly id: string
  readonly host: string
  /** null: no report on keys, as from workers of older versions. */
  readonly keys: KeyReport | null
}

/**
 * Workers that may seal: READY or DRAINING, or STARTING with a report on keys already, and whose heartbeat is recent by
 * the database's clock. Maintenance, which is in the same table, seals nothing.
 */
export async function listLiveWorkers(db: Queryable): Promise<LiveWorker[]> {
  const rows = await db.query<{ id: string; host: string; keys: unknown }>(Prisma.sql`
    SELECT id, host, detail->'keys' AS keys FROM workers
    WHERE (state IN ('READY', 'DRAINING') OR (state = 'STARTING' AND jsonb_typeof(detail->'keys') = 'object'))
      AND expires_at > clock_timestamp()
      AND coalesce(detail->>'program', 'worker') NOT IN ('maintenance', 'gateway')
    ORDER BY started_at, id`)
  return rows.map(({ id, host, keys }) => ({ id, host, keys: keyReport(keys) }))
}

/** Another version of the worker may have written it: unexpected values count as missing. */
function keyReport(value: unknown): KeyReport | null {
  if (!isRecord(value) || !Array.isArray(value['confirmed'])) return null
  const lacking: unknown[] = Array.isArray(value['lacking']) ? value['lacking'] : []
  return {
    confirmed: value['confirmed'].filter((id) => typeof id === 'string'),
    lacking: lacking.flatMap((one) => {
      if (!isRecord(one)) return []
      const { key, token, state } = one
      const texts = typeof key === 'string' && typeof token === 'string' && typeof state === 'string'
      return texts ? [{ key, token, state }] : []
    }),
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
