import { countPastRetention, expireFiles, type PastRetention } from '@sealfleet/records/deletion'
import type { Records } from '@sealfleet/records'

export interface ExpireOptions {
  /** Only this domain: `default` or a UUID. Default: every domain that has a retention. */
  readonly domain?: string | undefined
  /** Count and report, delete nothing. */
  readonly dryRun?: boolean | undefined
  /** The actor, for the audit log. */
  readonly actor: string
  /** Files per transaction, which blocks holds in their domain. Default 200. */
  readonly batchSize?: number | undefined
  readonly signal?: AbortSignal | undefined
  /** Called after each batch with the number of deleted files. */
  readonly onProgress?: ((expired: number) => void) | undefined
}

export interface ExpireReport {
  readonly dryRun: boolean
  /** As found at the start, by domain. */
  readonly domains: readonly PastRetention[]
  /** Past retention and not held, as found at the start. */
  readonly due: number
  /** Past retention and held. */
  readonly held: number
  /** Files that are now DELETED; 0 in a dry run. */
  expired: number
}

/**
 * Deletes files that are past their domain's retention and under no hold, in batches: files become DELETED, with a row
 * each in the audit log; their rows stay. A sweep deletes their objects. Safe at any time, several at once, and to stop
 * between batches.
 * @throws RecordsError, the signal's reason
 */
export async function expire(
  { records }: { readonly records: Records },
  { domain, dryRun = false, actor, batchSize = 200, signal, onProgress }: ExpireOptions,
): Promise<ExpireReport> {
  const domains = await countPastRetention(records, domain)
  const sum = (of: 'due' | 'held'): number => domains.reduce((n, one) => n + one[of], 0)
  const report: ExpireReport = { dryRun, domains, due: sum('due'), held: sum('held'), expired: 0 }
  if (dryRun) return report
  for (const one of domains) {
    if (one.due === 0) continue
    for (;;) {
      signal?.throwIfAborted()
      const gone = await expireFiles(records, { domain: one.domain, limit: batchSize, actor })
      report.expired += gone.length
      onProgress?.(report.expired)
      if (gone.length < batchSize) break
    }
  }
  return report
}
