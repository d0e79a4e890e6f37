import { classify } from '@sealfleet/failures'
import type { TaskEvents } from '@sealfleet/maintenance'
import { countFailure, type Logger, type Metrics } from '@sealfleet/telemetry'

/** Fields of a report that are counters; the first six are logged at info level. */
const THINGS = [
  'requeued',
  'abandoned',
  'objectsDeleted',
  'uploadsAborted',
  'workersForgotten',
  'expired',
  'lost',
  'swept',
  'bytesDeleted',
  'found',
  'chained',
] as const
type Things = Partial<Record<(typeof THINGS)[number], number>>

/** Records outcomes of tasks in log and metrics. A task that had nothing to do is logged at debug level only. */
export function taskObserver(metrics: Metrics, log: Logger): TaskEvents {
  return {
    onEnd: ({ name }, outcome, report, seconds) => {
      const things = thingsOf(report)
      metrics.maintenanceRuns.inc({ task: name, outcome })
      metrics.maintenanceSeconds.observe({ task: name }, seconds)
      metrics.maintenanceLastRun.setToCurrentTime({ task: name })
      for (const [thing, n] of Object.entries(things)) metrics.maintenanceCounts.inc({ task: name, thing }, n)
      metrics.maintenanceFindings.set({ task: name }, outcome === 'found' ? (things.found ?? 1) : 0)
      const line = { component: name, outcome, durationMs: Math.round(seconds * 1000), ...things }
      if (outcome === 'found') log.error(line, 'maintenance found something that needs attention')
      else log[THINGS.slice(0, 6).some((thing) => things[thing] !== undefined) ? 'info' : 'debug'](line, 'maintenance')
    },
    onError: ({ name }, error) => {
      const { code, failure } = classify(error)
      metrics.maintenanceRuns.inc({ task: name, outcome: code })
      countFailure(metrics, failure)
      log[failure.page ? 'error' : 'warn']({ component: name, code, err: error }, failure.summary)
    },
    codeOf: (error) => classify(error).code,
  }
}

/** The fields that are not 0. */
function thingsOf(report: unknown): Things {
  if (typeof report !== 'object' || report === null) return {}
  const fields = report as Record<string, unknown>
  return Object.fromEntries(
    THINGS.filter((name) => typeof fields[name] === 'number' && fields[name] > 0).map((name) => [name, fields[name]]),
  )
}
