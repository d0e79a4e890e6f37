import { classify } from '@sealfleet/failures'
import { keyAges } from '@sealfleet/records/keys'
import type { Records } from '@sealfleet/records'
import type { Logger, Metrics } from '@sealfleet/telemetry'
import { setTimeout } from 'node:timers/promises'

/**
 * Keeps the metrics of active master keys up to date until the signal aborts: their age, and whether a rotation is due.
 * Every maintenance process does this, since each is scraped by itself. An outage is logged once and leaves the metrics
 * unchanged. Resolves when nothing runs any more; never rejects.
 */
export async function watchKeyAges(
  { records, metrics, log }: { readonly records: Records; readonly metrics: Metrics; readonly log: Logger },
  everyMs: number,
  signal: AbortSignal,
): Promise<void> {
  let out: string | undefined
  while (!signal.aborted) {
    try {
      showKeyAges(metrics, await keyAges(records))
      out = undefined
    } catch (error) {
      const { code, failure } = classify(error)
      if (code !== out) log.warn({ component: 'key-ages', code, err: error }, failure.summary)
      out = code
    }
    await setTimeout(everyMs, undefined, { signal }).catch((error: unknown) => {
      if (!signal.aborted) throw error
    })
  }
}

function showKeyAges(metrics: Metrics, ages: Awaited<ReturnType<typeof keyAges>>): void {
  // A domain that was renamed, or lost a key, leaves no stale metric.
  metrics.keyRotationDue.reset()
  metrics.keyAgeDays.reset()
  for (const { domainName, role, ageDays, due } of ages) {
    metrics.keyAgeDays.set({ domain: domainName, role }, ageDays)
    if (role !== 'kek') metrics.keyRotationDue.set({ domain: domainName, role }, due ? 1 : 0)
  }
}
