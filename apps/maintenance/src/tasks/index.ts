import type { MaintenanceConfig } from '@sealfleet/config'
import { expire, isUnbalanced, reconcile, scan, sweep, type RecurringName, type Task } from '@sealfleet/maintenance'

import { auditTasks } from './audit.js'
import { destroyTask } from './destroy.js'
import { scrubTasks } from './scrub.js'
import type { TaskPorts } from './task-ports.js'

/** Reconcile leaves a file to its producer or worker for this long, unless it runs more often than that. */
const IDLE_S = 60
/** Every Nth reconcile looks at each open file. */
const FULL_EVERY = 15

/** What a maintenance process does, and how often (docs/operate/maintenance.md). */
export function maintenanceTasks(taskPorts: TaskPorts, config: MaintenanceConfig): readonly Task<RecurringName>[] {
  const { records, store, jobs, actor, hsm } = taskPorts
  const ports = { records, store, jobs }
  const sweeping = (signal: AbortSignal) => ({
    graceSeconds: config.sweepGraceSeconds,
    supersededGraceSeconds: config.supersededGraceSeconds,
    actor,
    signal,
  })
  const idleSeconds = Math.min(IDLE_S, config.reconcileSeconds)
  const reconciling = (quick: boolean) => async (signal: AbortSignal) => {
    const report = await reconcile(ports, { quick, idleSeconds, signal })
    return { report, found: report.books !== null && isUnbalanced(report.books) }
  }
  return [
    { name: 'reconcile', everySeconds: config.reconcileSeconds, run: reconciling(true) },
    { name: 'reconcile-all', everySeconds: config.reconcileSeconds * FULL_EVERY, run: reconciling(false) },
    {
      name: 'sweep',
      everySeconds: config.sweepSeconds,
      run: async (signal) => {
        const report = await sweep(ports, sweeping(signal))
        return { report, found: report.found > 0 }
      },
    },
    {
      name: 'retention',
      everySeconds: config.retentionSeconds,
      run: async (signal) => ({
        report: await expire(ports, { actor, dryRun: !config.retentionDelete, signal }),
        found: false,
      }),
    },
    {
      name: 'scan',
      everySeconds: config.scanSeconds,
      run: async (signal) => {
        const report = await scan(ports, sweeping(signal))
        return { report, found: report.found > 0 }
      },
    },
    ...auditTasks(taskPorts, config),
    ...scrubTasks(taskPorts, config),
    ...(hsm === undefined ? [] : [destroyTask({ records, store, actor }, hsm, config)]),
  ]
}
