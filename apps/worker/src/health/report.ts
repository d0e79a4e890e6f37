import type { Logger } from '@sealfleet/telemetry'

import type { Activity } from './activity.js'
import type { Stall } from './stall-detector.js'
import { EXIT_WEDGED } from './watchdog.js'

/** Logs what stalled: a line for each job, then why the process exits. @returns its exit status */
export function reportStall(log: Logger, { stillMs, active, waiting }: Stall, activity: Activity): number {
  const now = performance.now()
  for (const { jobId, since } of activity.jobs) {
    log.error({ code: 'WEDGED', jobId, seconds: Math.round((now - since) / 1000) }, 'this job has stalled')
  }
  const seconds = Math.round(stillMs / 1000)
  log.fatal(
    { code: 'WEDGED', inFlight: active, count: waiting, seconds, exitStatus: EXIT_WEDGED },
    `no progress in this worker for ${seconds} s: ${active} jobs under way, ${waiting} waiting. It exits so that others take over.`,
  )
  return EXIT_WEDGED
}
