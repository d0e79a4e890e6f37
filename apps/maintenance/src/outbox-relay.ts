import { deliverJobs, type IngestQueue } from '@sealfleet/queue'
import { fileStates } from '@sealfleet/records/files'
import { forgetRelayed, outboxDepth, relayOutbox } from '@sealfleet/records/upkeep'
import type { Records } from '@sealfleet/records'
import { outageReporter, repeat } from '@sealfleet/runtime'
import type { Logger, Metrics } from '@sealfleet/telemetry'

/** Rows of one transaction; delivering them takes a fraction of a second. */
const LIMIT = 500
/** How long a relayed row is kept for inspection. */
const KEEP_S = 24 * 60 * 60
/** Interval between two reads of the depth and deletions of old rows. */
const HOUSEKEEPING_MS = 15_000
/** Between two polls while a dependency is out. */
const OUT_MS = 1_000

export interface RelayPorts {
  readonly records: Records
  readonly queue: IngestQueue
  readonly metrics: Metrics
  readonly log: Logger
}

/**
 * Relays the outbox to the queue until the signal aborts: without a pause while rows wait, else with a poll every
 * `everyMs`. Several relays share the work. An outage is logged once; the rows wait. Resolves when nothing runs any
 * more; never rejects.
 */
export async function runRelay(ports: RelayPorts, everyMs: number, signal: AbortSignal): Promise<void> {
  const { records, queue, metrics, log } = ports
  const states = (ids: readonly string[]) => fileStates(records, ids)
  let kept = -Infinity
  const round = async (): Promise<boolean> => {
    const taken = await relayOutbox(records, (files) => deliverJobs(queue, files, states), { limit: LIMIT })
    if (taken > 0) {
      metrics.maintenanceCounts.inc({ task: 'relay', thing: 'relayed' }, taken)
      log.debug({ component: 'relay', relayed: taken }, 'maintenance')
    }
    metrics.maintenanceLastRun.setToCurrentTime({ task: 'relay' })
    if (performance.now() - kept >= HOUSEKEEPING_MS) {
      await keepHouse(ports)
      kept = performance.now()
    }
    return taken === LIMIT
  }
  const outages = outageReporter('relay', ports, 'the outbox is relayed to the queue again')
  await repeat(round, { everyMs, outMs: OUT_MS, signal, ...outages })
}

async function keepHouse({ records, metrics }: RelayPorts): Promise<void> {
  await forgetRelayed(records, KEEP_S)
  const { waiting, oldestSeconds } = await outboxDepth(records)
  metrics.outboxDepth.set(waiting)
  metrics.outboxOldestSeconds.set(oldestSeconds ?? 0)
}
