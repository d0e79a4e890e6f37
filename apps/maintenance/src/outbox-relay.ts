import { classify } from '@sealfleet/failures'
import { deliverJobs, type IngestQueue } from '@sealfleet/queue'
import { fileStates } from '@sealfleet/records/files'
import { forgetRelayed, outboxDepth, relayOutbox } from '@sealfleet/records/upkeep'
import type { Records } from '@sealfleet/records'
import { countFailure, type Logger, type Metrics } from '@sealfleet/telemetry'
import { setTimeout } from 'node:timers/promises'

/** Rows of one transaction; delivering them takes a fraction of a second. */
const LIMIT = 500
/** How long a relayed row is kept for inspection. */
const KEEP_S = 24 * 60 * 60
/** Interval between two reads of the depth and deletions of old rows. */
const HOUSEKEEPING_MS = 15_000

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
  const states = { states: (ids: readonly string[]) => fileStates(records, ids) }
  let out: string | undefined
  let kept = -Infinity
  while (!signal.aborted) {
    let taken = 0
    try {
      taken = await relayOutbox(records, (files) => deliverJobs(queue, files, states), { limit: LIMIT })
      if (taken > 0) {
        metrics.maintenanceCounts.inc({ task: 'relay', thing: 'relayed' }, taken)
        log.debug({ component: 'relay', relayed: taken }, 'maintenance')
      }
      metrics.maintenanceLastRun.setToCurrentTime({ task: 'relay' })
      if (performance.now() - kept >= HOUSEKEEPING_MS) {
        await keepHouse(ports)
        kept = performance.now()
      }
      if (out !== undefined) log.info({ component: 'relay', code: out }, 'the outbox is relayed to the queue again')
      out = undefined
    } catch (error) {
      const { code, failure } = classify(error)
      if (code !== out) {
        countFailure(metrics, failure)
        log[failure.page ? 'error' : 'warn']({ component: 'relay', code, err: error }, failure.summary)
      }
      out = code
    }
    if (taken === LIMIT) continue
    await setTimeout(out === undefined ? everyMs : Math.max(everyMs, 1_000), undefined, { signal }).catch(
      (error: unknown) => {
        if (!signal.aborted) throw error
      },
    )
  }
}

async function keepHouse({ records, metrics }: RelayPorts): Promise<void> {
  await forgetRelayed(records, KEEP_S)
  const { waiting, oldestSeconds } = await outboxDepth(records)
  metrics.outboxDepth.set(waiting)
  metrics.outboxOldestSeconds.set(oldestSeconds ?? 0)
}
