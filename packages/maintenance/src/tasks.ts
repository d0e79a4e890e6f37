import { finishTask, renewTask, startTask } from '@sealfleet/records/upkeep'
import type { Records } from '@sealfleet/records'
import { setTimeout } from 'node:timers/promises'

/** Every recurring task by the name that it has in the records, and what it does. */
export const RECURRING = {
  'audit-chain': 'chains new rows of the audit log',
  'audit-checkpoint': 'signs the head of the chain and copies it to the store',
  destroy: 'destroys master keys whose wait is over, with proof',
  reconcile: 'gives files whose job was lost a new one',
  'reconcile-all': 'does the same for every open file, and checks that every file is accounted for',
  retention: 'counts, or deletes, files past their retention',
  scan: 'compares the whole listing of the bucket with the records',
  scrub: 'verifies stored objects in turn, at a set rate',
  sweep: 'deletes what dead attempts left in the store',
} as const satisfies Readonly<Record<string, string>>

export type RecurringName = keyof typeof RECURRING

/** A recurring task of maintenance, run in one process of the fleet at a time. */
export interface Task<Name extends string = string> {
  readonly name: Name
  readonly everySeconds: number
  /** Runs once. The result is kept in the records; `found` is set when it needs attention. */
  run(signal: AbortSignal): Promise<{ readonly report: unknown; readonly found: boolean }>
}

export interface TaskEvents {
  onEnd(task: Task, outcome: 'done' | 'found', report: unknown, seconds: number): void
  /** The task failed, or could not be taken. It is tried again when it is due again. */
  onError(task: Task, error: unknown): void
  /** The code of an error, for the records. */
  codeOf(error: unknown): string
}

const LEASE_S = 60

/**
 * Runs tasks until the signal aborts, each when it is due by the database's clock and no other process runs it. Several
 * maintenance processes make one that survives crashes. Resolves when all work has ended; never rejects.
 *
 * @param pollMs milliseconds between two checks for due tasks
 */
export async function runTasks(
  records: Records,
  owner: string,
  tasks: readonly Task[],
  options: { readonly signal: AbortSignal; readonly events: TaskEvents; readonly pollMs?: number },
): Promise<void> {
  await Promise.all(tasks.map((task) => repeat(records, owner, task, options)))
}

async function repeat(
  records: Records,
  owner: string,
  task: Task,
  { signal, events, pollMs = 1_000 }: Parameters<typeof runTasks>[3],
): Promise<void> {
  const lease = { name: task.name, owner, leaseSeconds: LEASE_S }
  while (!signal.aborted) {
    try {
      if (await startTask(records, { ...lease, everySeconds: task.everySeconds }))
        await once(records, task, lease, signal, events)
    } catch (error) {
      if (!signal.aborted) events.onError(task, error)
    }
    await setTimeout(pollMs, undefined, { signal }).catch((error: unknown) => {
      if (!signal.aborted) throw error
    })
  }
}

async function once(
  records: Records,
  task: Task,
  lease: { readonly name: string; readonly owner: string; readonly leaseSeconds: number },
  signal: AbortSignal,
  events: TaskEvents,
): Promise<void> {
  const startedAt = performance.now()
  // A failed renewal is harmless: at worst another process runs the same task at the same time, which is harmless.
  const renewal = setInterval(
    () => void renewTask(records, lease).catch((error: unknown) => events.onError(task, error)),
    (LEASE_S / 3) * 1000,
  )
  try {
    const { report, found } = await task.run(signal)
    const outcome = found ? 'found' : 'done'
    await finishTask(records, { ...lease, outcome, report })
    events.onEnd(task, outcome, report, (performance.now() - startedAt) / 1000)
  } catch (error) {
    if (!signal.aborted) events.onError(task, error)
    await finishTask(records, { ...lease, outcome: signal.aborted ? 'SHUTDOWN' : events.codeOf(error), report: {} })
  } finally {
    clearInterval(renewal)
  }
}
