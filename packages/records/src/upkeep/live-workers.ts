import { Prisma } from '../generated/client.js'
import type { Queryable } from '../db/records.js'

/** A key version that a worker looked for on its tokens and did not find right on one of them. */
export interface LackedKey {
  /** The row of the key. */
  readonly key: string
  /** The worker's name for the token: `primary`, `secondary-1`, … */
  readonly token: string
  /** As packages/hsm has it: pending, unknown, mismatch or unreachable. */
  readonly state: string
}

/** A worker's word on key versions that are not active yet: part of its heartbeat. */
export interface KeyReport {
  /** Rows of keys whose check value was right on every token the worker has. */
  readonly confirmed: readonly string[]
  readonly lacking: readonly LackedKey[]
}

export interface LiveWorker {
  readonly id: string
  readonly host: string
  /** null: it says nothing of keys, as workers of older versions do. */
  readonly keys: KeyReport | null
}

/**
 * Workers that may seal: READY or DRAINING, or STARTING with a word on keys already, and heard of within their time by the
 * database's clock. Maintenance, which is in the records too, seals nothing.
 */
export async function listLiveWorkers(db: Queryable): Promise<LiveWorker[]> {
  const rows = await db.query<{ id: string; host: string; keys: unknown }>(Prisma.sql`
    SELECT id, host, detail->'keys' AS keys FROM workers
    WHERE (state IN ('READY', 'DRAINING') OR (state = 'STARTING' AND jsonb_typeof(detail->'keys') = 'object'))
      AND expires_at > clock_timestamp()
      AND detail->>'program' IS DISTINCT FROM 'maintenance'
    ORDER BY started_at, id`)
  return rows.map(({ id, host, keys }) => ({ id, host, keys: keyReport(keys) }))
}

/** Another version of the worker wrote it: whatever is not as expected counts as not said. */
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
