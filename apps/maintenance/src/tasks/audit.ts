import type { MaintenanceConfig } from '@sealfleet/config'
import { classify } from '@sealfleet/failures'
import { AuditError, chainAudit, checkpointAudit, type CheckpointReport } from '@sealfleet/audit'
import type { RecurringName, Task } from '@sealfleet/maintenance'
import { countFailure, type Logger, type Metrics } from '@sealfleet/telemetry'

import type { TaskPorts } from './task-ports.js'

type AuditTaskPorts = Pick<TaskPorts, 'records' | 'store' | 'hsm' | 'metrics' | 'log'>

/**
 * The audit log's tasks: `audit-chain` seals new rows in batches, `audit-checkpoint` signs the chain's head and copies it to
 * the store. The second needs the HSM and is not among the tasks of a process that has none.
 */
export function auditTasks(
  { records, store, hsm, metrics, log }: AuditTaskPorts,
  config: Pick<MaintenanceConfig, 'auditChainSeconds' | 'auditCheckpointSeconds'>,
): readonly Task<RecurringName>[] {
  const chain: Task<RecurringName> = {
    name: 'audit-chain',
    everySeconds: config.auditChainSeconds,
    run: async (signal) => {
      const { batches, rows, waiting } = await chainAudit(records, { signal })
      metrics.auditUnsealed.set(waiting.rows)
      metrics.auditUnsealedSeconds.set(waiting.oldestSeconds ?? 0)
      return { report: { batches, chained: rows, waiting }, found: false }
    },
  }
  if (hsm === undefined) return [chain]
  const checkpoint: Task<RecurringName> = {
    name: 'audit-checkpoint',
    everySeconds: config.auditCheckpointSeconds,
    run: async (signal) => {
      let report: CheckpointReport
      try {
        report = await checkpointAudit({ records, store, hsm: hsm.pool }, { signal })
      } catch (error) {
        if (!(error instanceof AuditError)) throw error
        return refused(metrics, log, error)
      }
      if (report.differing.length === 0) metrics.auditCheckpoint.setToCurrentTime()
      tell(log, report)
      return { report: { ...report, found: report.differing.length }, found: report.differing.length > 0 }
    },
  }
  return [chain, checkpoint]
}

/** An earlier retry would not help: a person must create a key, or adopt the restored database. */
function refused(metrics: Metrics, log: Logger, error: AuditError): Awaited<ReturnType<Task['run']>> {
  const { code, failure } = classify(error)
  const behind = code === 'AUDIT_BEHIND'
  if (behind) countFailure(metrics, failure)
  log[behind ? 'error' : 'warn']({ component: 'audit-checkpoint', code, err: error }, failure.summary)
  return { report: { refused: code, found: behind ? 1 : 0 }, found: behind }
}

function tell(log: Logger, { made, differing }: CheckpointReport): void {
  if (made !== null) {
    const { no: checkpoint, batchNo: batch, sha256: checkpointSha256 } = made
    // Log shippers keep this where neither the database nor the store reaches.
    log.info({ component: 'audit-checkpoint', checkpoint, batch, checkpointSha256 }, 'the audit log was signed')
  }
  for (const checkpoint of differing)
    log.error(
      { component: 'audit-checkpoint', code: 'AUDIT_BROKEN', checkpoint },
      'the store holds another object in the place of a copy',
    )
}
