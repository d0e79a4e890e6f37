import { Prisma } from '../generated/client.js'
import type { Queryable } from '../db/records.js'

export interface TaskLease {
  readonly name: string
  /** The process that runs it. */
  readonly owner: string
  readonly leaseSeconds: number
}

export interface MaintenanceTaskRow {
  readonly name: string
  /** The process that runs it now; null between runs. */
  readonly owner: string | null
  readonly startedAt: Date | null
  readonly finishedAt: Date | null
  /** The last outcome: done, found (findings that need attention), or a failure code. */
  readonly outcome: string | null
  readonly report: unknown
  /** How often the process that ran it last runs it, seconds; null: not recorded. */
  readonly everySeconds: number | null
  /** When a process may take it next; null while one runs it, or when the interval is not recorded. */
  readonly dueAt: Date | null
}

/** Seconds until a failed task is tried again, if it is not due sooner. */
const RETRY_S = 15

/**
 * Takes a task if its last run began at least this many seconds ago and no process is running it (by the database's
 * clock): one of any number of maintenance processes runs it. False: not due, or another process has it.
 */
export async function startTask(db: Queryable, task: TaskLease & { readonly everySeconds: number }): Promise<boolean> {
  const rows = await db.query<{ name: string }>(Prisma.sql`
    INSERT INTO maintenance_tasks AS t (name, owner, lease_expires_at, started_at, every_seconds)
    VALUES (${task.name}, ${task.owner}, clock_timestamp() + make_interval(secs => ${task.leaseSeconds}::float8),
      clock_timestamp(), ${task.everySeconds}::float8)
    ON CONFLICT (name) DO UPDATE SET owner = EXCLUDED.owner, lease_expires_at = EXCLUDED.lease_expires_at,
      started_at = EXCLUDED.started_at, every_seconds = EXCLUDED.every_seconds
    WHERE (t.lease_expires_at IS NULL OR t.lease_expires_at <= clock_timestamp())
      AND (t.started_at IS NULL OR t.owner IS NOT NULL
        OR t.started_at <= clock_timestamp() - make_interval(secs => ${task.everySeconds}::float8)
        OR (t.outcome NOT IN ('done', 'found') AND t.started_at <= clock_timestamp() - make_interval(secs => ${RETRY_S})))
    RETURNING t.name`)
  return rows.length === 1
}

/** Reports that the task is still running. False: another process has it by now. */
export async function renewTask(db: Queryable, task: TaskLease): Promise<boolean> {
  const rows = await db.query<{ name: string }>(Prisma.sql`
    UPDATE maintenance_tasks SET lease_expires_at = clock_timestamp() + make_interval(secs => ${task.leaseSeconds}::float8)
    WHERE name = ${task.name} AND owner = ${task.owner} RETURNING name`)
  return rows.length === 1
}

/** Records the outcome and releases the task. */
export async function finishTask(
  db: Queryable,
  task: Pick<TaskLease, 'name' | 'owner'> & { readonly outcome: string; readonly report: unknown },
): Promise<void> {
  await db.query(Prisma.sql`
    UPDATE maintenance_tasks SET owner = NULL, lease_expires_at = NULL, finished_at = clock_timestamp(),
      outcome = ${task.outcome}, report = ${JSON.stringify(task.report)}::jsonb
    WHERE name = ${task.name} AND owner = ${task.owner} RETURNING name`)
}

/** Every task that has run, by name. When it is due follows the rule of `startTask`. */
export function listTasks(db: Queryable): Promise<MaintenanceTaskRow[]> {
  return db.query<MaintenanceTaskRow>(Prisma.sql`
    SELECT name, CASE WHEN lease_expires_at > clock_timestamp() THEN owner END AS owner, started_at AS "startedAt",
      finished_at AS "finishedAt", outcome, report, every_seconds AS "everySeconds",
      CASE WHEN lease_expires_at > clock_timestamp() OR every_seconds IS NULL THEN NULL
        WHEN owner IS NOT NULL THEN lease_expires_at
        WHEN outcome NOT IN ('done', 'found')
          THEN started_at + make_interval(secs => least(every_seconds, ${RETRY_S}::float8))
        ELSE started_at + make_interval(secs => every_seconds) END AS "dueAt"
    FROM maintenance_tasks ORDER BY name`)
}
