import { StoreError, type ListedVersion, type Store } from '@sealfleet/store'

import type { SweepReport } from './terms.js'

/**
 * Whether the store keeps a version for now; if so it is counted, with the date. Checked before a deletion, so that a
 * refused one does not leave a row in the audit log at each sweep. Only a bucket with versions can keep one.
 */
export async function isLocked(
  store: Pick<Store, 'head'>,
  { key, version, deleteMarker }: ListedVersion,
  report: Pick<SweepReport, 'locked' | 'lockedUntil'>,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  if (version === undefined || deleteMarker) return false
  try {
    const { lock } = await store.head(key, { version, ...(signal && { signal }) })
    if (lock === undefined) return false
    report.locked++
    const { until } = lock
    if (until !== undefined && (report.lockedUntil === null || until < report.lockedUntil)) report.lockedUntil = until
    return true
  } catch (error) {
    // Gone meanwhile, or not visible to these credentials: the deletion itself reports it.
    if (error instanceof StoreError && (error.code === 'S3_NO_SUCH_OBJECT' || error.code === 'S3_ACCESS_DENIED'))
      return false
    throw error
  }
}
