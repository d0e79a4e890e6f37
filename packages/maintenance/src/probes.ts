import { DOCTOR_PREFIX, PROBE_PREFIX } from '@sealfleet/objects'
import { isLocked } from './locked.js'
import type { StorePorts, SweepOptions, SweepReport } from './terms.js'

const PROBE_GRACE_S = 600

/**
 * Deletes probe objects of processes that died in the middle of a trial of the store; by their name they hold no data.
 * Younger objects are left alone, since a process may be using them.
 */
export async function sweepProbes(
  { store }: StorePorts,
  { graceSeconds, probeGraceSeconds = PROBE_GRACE_S, dryRun, signal }: SweepOptions,
  report: SweepReport,
): Promise<void> {
  const request = signal === undefined ? {} : { signal }
  const before = Date.now() - Math.max(graceSeconds, probeGraceSeconds) * 1000
  const isOld = (since: Date | undefined): boolean => since !== undefined && since.getTime() < before
  for (const prefix of [PROBE_PREFIX, DOCTOR_PREFIX]) {
    for await (const entry of store.listVersions(prefix, request)) {
      const { key, version, modified } = entry
      if (!isOld(modified) || (await isLocked(store, entry, report, signal))) continue
      if (dryRun !== true) await store.deleteVersion(key, version, request)
      report.probesDeleted++
    }
    if (!store.capabilities.listUploads || !store.capabilities.abortUploads) continue
    for await (const { key, uploadId, initiated } of store.listUploads(prefix, request)) {
      if (!isOld(initiated)) continue
      if (dryRun !== true) await store.abortUpload(key, uploadId, request)
      report.probesDeleted++
    }
  }
}
