import { countRekeyItems, listRekeyRuns, REKEY_ITEM_STATES } from '@sealfleet/records/rekey'
import type { Records } from '@sealfleet/records'
import type { Metrics } from '@sealfleet/telemetry'

/** Runs that ended longer ago are not counted; `sealfleet rekey status` still shows their failed files. */
const RECENT_MS = 7 * 24 * 3_600_000

/**
 * Sets the gauges of rekey runs, open and recently ended ones, as totals, since a domain's id is not a label;
 * `sealfleet rekey status` lists each run.
 */
export async function observeRekeyRuns(records: Records, metrics: Metrics): Promise<void> {
  const runs = await listRekeyRuns(records)
  const of = (state: 'ACTIVE' | 'PAUSED') => runs.filter((run) => run.state === state).length
  metrics.rekeyRuns.set({ state: 'active' }, of('ACTIVE'))
  metrics.rekeyRuns.set({ state: 'paused' }, of('PAUSED'))
  // The newest run of a version counts: it includes the files that failed in an older one.
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
