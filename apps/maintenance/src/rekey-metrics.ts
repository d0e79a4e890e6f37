import { countRekeyItems, listRekeyRuns, REKEY_ITEM_STATES } from '@sealfleet/records/rekey'
import type { Records } from '@sealfleet/records'
import type { Metrics } from '@sealfleet/telemetry'

/** What ended longer ago is history: anyone who repairs its failed files finds them by `sealfleet rekey status`. */
const RECENT_MS = 7 * 24 * 3_600_000

/**
 * Sets the gauges of rekey runs: those that are open, and those that ended lately. Over all of them, since a domain's id is no
 * label; `sealfleet rekey status` has them one by one.
 */
export async function observeRekeyRuns(records: Records, metrics: Metrics): Promise<void> {
  const runs = await listRekeyRuns(records)
  const of = (state: 'ACTIVE' | 'PAUSED') => runs.filter((run) => run.state === state).length
  metrics.rekeyRuns.set({ state: 'active' }, of('ACTIVE'))
  metrics.rekeyRuns.set({ state: 'paused' }, of('PAUSED'))
  // The newest run of a version speaks for it: what failed in an older one was taken again.
  const newest = new Map(runs.toReversed().map((run) => [`${run.domain} ${run.fromVersion}`, run]))
  const recent = [...newest.values()].filter(
    ({ finishedAt }) => finishedAt === null || Date.now() - finishedAt.getTime() <= RECENT_MS,
  )
  const items = await countRekeyItems(
    records,
    recent.map(({ id }) => id),
  )
  for (const state of REKEY_ITEM_STATES) metrics.rekeyItems.set({ state: state.toLowerCase() }, items[state])
}
