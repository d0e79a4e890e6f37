import { countPastRetention, expireFiles, type PastRetention } from '@sealfleet/records/deletion'
import type { Records } from '@sealfleet/records'

export interface ExpireOptions {
  /** Of this domain alone: `default` or a UUID. Default: every domain that has a retention. */
  readonly domain?: string | undefined
  /** Count and report, delete nothing. */
  readonly dryRun?: boolean | undefined
  /** Who, for the audit log. */
  readonly actor: string
  /** Files of one transaction, which keeps holds of their domain waiting. Default 200. */
  readonly batchSize?: number | undefined
  readonly signal?: AbortSignal | undefined
  /** Told after each batch how many files have been deleted. */
  readonly onProgress?: ((expired: number) => void) | undefined
}

export interface ExpireReport {
  readonly dryRun: boolean
  /** As it was found at the start, by domain. */
  readonly domains: readonly PastRetention[]
  /** Past retention and not held, as it was found. */
  readonly due: number
  /** Past retention and kept by a hold. */
  readonly held: number
  /** Files that are DELETED since; of a dry run 0. */
  expired: number
}

/**
 * Deletes what is past its domain's retention and under no hold, in batches: files become DELETED, with a row each in the audit
 * log; their rows stay. Their objects are a sweep's to take away. Safe at any time, several at once, and to stop between batches.
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
