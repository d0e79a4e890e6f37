import { keyAges } from '@sealfleet/records/keys'
import type { Records } from '@sealfleet/records'
import { repeat } from '@sealfleet/runtime'
import type { Logger, Metrics } from '@sealfleet/telemetry'

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
  await repeat(async () => showKeyAges(metrics, await keyAges(records)), {
    everyMs,
    signal,
    onOutage: ({ code, failure }, error) => log.warn({ component: 'key-ages', code, err: error }, failure.summary),
  })
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
