import { Prisma } from '../generated/client.js'
import type { Queryable } from '../db/records.js'
import type { WorkerState } from '../db/terms.js'

export interface WorkerHeartbeat {
  readonly id: string
  readonly host: string
  readonly pid: number
  readonly version: string
  readonly state: WorkerState
  readonly concurrency: number
  /** JSON for people to look at. */
  readonly detail?: unknown
  /** Time after the last heartbeat at which the worker counts as dead. */
  readonly ttlSeconds: number
}

export interface WorkerRow extends Omit<WorkerHeartbeat, 'ttlSeconds'> {
  readonly startedAt: Date
  readonly heartbeatAt: Date
  readonly expiresAt: Date
  /** Its heartbeat is recent, and it is not STOPPED; by the database's clock. */
  readonly alive: boolean
}

/** Registers a worker, or renews its heartbeat. */
export async function heartbeat(db: Queryable, input: WorkerHeartbeat): Promise<void> {
  await db.query(Prisma.sql`
    INSERT INTO workers (id, host, pid, version, state, concurrency, detail, heartbeat_at, expires_at)
    VALUES (${input.id}, ${input.host}, ${input.pid}::int, ${input.version}, ${input.state}::worker_state,
      ${input.concurrency}::int, ${JSON.stringify(input.detail ?? {})}::jsonb, now(),
      now() + make_interval(secs => ${input.ttlSeconds}::float8))
    ON CONFLICT (id) DO UPDATE SET state = EXCLUDED.state, concurrency = EXCLUDED.concurrency, detail = EXCLUDED.detail,
      heartbeat_at = EXCLUDED.heartbeat_at, expires_at = EXCLUDED.expires_at
    RETURNING id`)
}

export function listWorkers(db: Queryable): Promise<WorkerRow[]> {
  return db.query<WorkerRow>(Prisma.sql`
    SELECT id, host, pid, version, state::text AS state, concurrency, detail, started_at AS "startedAt",
      heartbeat_at AS "heartbeatAt", expires_at AS "expiresAt", expires_at > now() AND state <> 'STOPPED' AS alive
    FROM workers ORDER BY started_at, id`)
}

/** Deletes workers that have been silent since long after their time. @returns their ids */
export async function forgetWorkers(db: Queryable, silentForSeconds: number): Promise<string[]> {
  const rows = await db.query<{ id: string }>(Prisma.sql`
    DELETE FROM workers WHERE expires_at < now() - make_interval(secs => ${silentForSeconds}::float8) RETURNING id`)
  return rows.map((row) => row.id)
}
