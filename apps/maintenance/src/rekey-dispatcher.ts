import { addRekeyJobs, liveRekeyJobs, type RekeyQueue } from '@sealfleet/queue'
import { dispatchRekeyItems, listRekeyRuns, createRekeyItems, type RekeyRun } from '@sealfleet/records/rekey'
import type { Records } from '@sealfleet/records'
import { outageReporter, repeat } from '@sealfleet/runtime'
import type { Logger, Metrics } from '@sealfleet/telemetry'

import { observeRekeyRuns } from './rekey-metrics.js'

/** Most jobs in the queue: enough to keep any fleet busy until the next round, and quickly made again. */
const JOBS_AHEAD = 500
/** An item whose job has been silent for this long gets another. */
const LOST_AFTER_S = 60
/** Between two counts of a run's items. */
const COUNT_MS = 15_000
/** Most open runs that are dispatched: there is one per domain and version, so this covers any fleet. */
const MOST_RUNS = 10_000
/** Between two rounds while a dependency is out. */
const OUT_MS = 1_000

export interface RekeyDispatcherPorts {
  readonly records: Records
  readonly queue: RekeyQueue
  readonly metrics: Metrics
  readonly log: Logger
  /** For the audit log. */
  readonly actor: string
}

export interface RekeyDispatcherOptions {
  /** Between two rounds, milliseconds. */
  readonly everyMs: number
  readonly jobsAhead?: number
  readonly lostAfterSeconds?: number
}

/**
 * Fills the rekey queue until the signal aborts: creates the items of open runs, a page at a time; gives due items
 * their jobs, a bounded number ahead and no faster than the run's rate; ends a run whose items have all ended. Its
 * state is in Postgres, so it may be killed, and Redis wiped, at any moment. Several dispatchers share the work. An
 * outage is logged once; the items wait. Resolves when nothing runs any more; never rejects.
 */
export async function runRekeyDispatcher(
  ports: RekeyDispatcherPorts,
  options: RekeyDispatcherOptions,
  signal: AbortSignal,
): Promise<void> {
  const { records, metrics } = ports
  let counted = -Infinity
  const round = async (): Promise<boolean> => {
    let more = false
    for (const run of await listRekeyRuns(records, { open: true, limit: MOST_RUNS })) {
      signal.throwIfAborted()
      if (run.state === 'ACTIVE' && (await feed(ports, run, options))) more = true
    }
    metrics.maintenanceLastRun.setToCurrentTime({ task: 'rekey-dispatcher' })
    if (performance.now() - counted >= COUNT_MS) {
      await observeRekeyRuns(records, metrics)
      counted = performance.now()
    }
    return more
  }
  const outages = outageReporter('rekey-dispatcher', ports, 'rekey jobs are dispatched again')
  await repeat(round, { everyMs: options.everyMs, outMs: OUT_MS, signal, ...outages })
}

/** One round of one run. True: call again at once. */
async function feed(
  { records, queue, metrics, log, actor }: RekeyDispatcherPorts,
  run: RekeyRun,
  { jobsAhead = JOBS_AHEAD, lostAfterSeconds = LOST_AFTER_S }: RekeyDispatcherOptions,
): Promise<boolean> {
  const line = { component: 'rekey-dispatcher', runId: run.id, domain: run.domain }
  const seeding = await createRekeyItems(records, run.id, actor)
  if (seeding === 'done') {
    log.info(line, 'a rekey run is done')
    return false
  }
  const limit = jobsAhead - (await liveRekeyJobs(queue))
  const given = await dispatchRekeyItems(records, run.id, (items) => addRekeyJobs(queue, items), {
    limit,
    lostAfterSeconds,
  })
  if (given > 0) {
    metrics.maintenanceCounts.inc({ task: 'rekey-dispatcher', thing: 'given' }, given)
    log.debug({ ...line, count: given }, 'rekey items were dispatched to the queue')
  }
  return seeding === 'seeding'
}
