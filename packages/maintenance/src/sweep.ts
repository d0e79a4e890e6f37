import {
  abandonAttempt,
  attemptOwners,
  listOrphanedObjects,
  listOrphanedAttempts,
  listSuperseded,
  markSwept,
  type OrphanedObject,
} from '@sealfleet/records/attempts'
import { listDeletedObjects, listObjectsOfDeleted } from '@sealfleet/records/deletion'

import { assertOwnBucket, AUDIT_PREFIX, isProbe, parseObjectKey } from '@sealfleet/objects'
import { forEachConcurrent, inBatches } from '@sealfleet/runtime'
import { SweepActions } from './sweep-actions.js'
import { sweepProbes } from './probes.js'
import { emptyReport, SUPERSEDED_GRACE_S, type StorePorts, type SweepOptions, type SweepReport } from './terms.js'

const PAGE = 200
/** Attempts checked in the store at once. */
const AT_ONCE = 4

/**
 * Removes objects that are no longer kept, and remains of attempts that were not kept, as far as the records know them
 * (a scan finds the rest):
 *
 * 1. attempts whose worker is gone become ABANDONED, by compare-and-set: from then on they cannot be committed;
 * 2. objects of ABANDONED and FAILED attempts are deleted, by version, when their file is STORED elsewhere and that
 * object is seen to be there, or when the file was discarded or deleted; never a file's only copy;
 * 3. the object of a SUPERSEDED attempt is deleted after its own grace, when its replacement is seen to be there;
 * 4. every object of a DELETED file is deleted;
 * 5. unfinished uploads of ended attempts are aborted;
 * 6. probe objects of processes that died during a trial of the store are deleted.
 *
 * Objects of attempts that ended less than the grace ago are not touched: a worker that was stopped and resumes finds
 * its lease gone at its next step, but a request may be in flight. Safe to run at any time, any number of times,
 * several at once.
 * @throws FleetMismatchError before any change, StoreError, RecordsError, the signal's reason
 */
export async function sweep(ports: StorePorts, options: SweepOptions): Promise<SweepReport> {
  const report = emptyReport(options.dryRun === true)
  const actions = new SweepActions(ports, options, report)
  let looked = 0
  const progress = (): void => {
    options.signal?.throwIfAborted()
    options.onProgress?.(++looked)
  }
  await assertOwnBucket(ports, options)
  await abandonOrphans(ports, options, report, progress)
  const { graceSeconds, supersededGraceSeconds = SUPERSEDED_GRACE_S } = options
  const lists: readonly ListPage[] = [
    (page) => listOrphanedObjects(ports.records, { ...page, graceSeconds }),
    (page) => listSuperseded(ports.records, { ...page, graceSeconds: supersededGraceSeconds }),
    (page) => listDeletedObjects(ports.records, page),
  ]
  for (const list of lists) await sweepListed(list, ports, options, report, actions, progress)
  await sweepUploads(ports, options, report, actions, progress)
  await sweepProbes(ports, options, report)
  return report
}

export async function abandonOrphans(
  { records }: StorePorts,
  { graceSeconds, dryRun }: SweepOptions,
  report: SweepReport,
  progress: () => void,
): Promise<void> {
  for (;;) {
    const openedBefore = new Date(Date.now() - graceSeconds * 1000)
    const orphans = await listOrphanedAttempts(records, { openedBefore, limit: dryRun === true ? 10_000 : PAGE })
    let abandoned = 0
    for (const { id } of orphans) {
      progress()
      if (dryRun === true || (await abandonAttempt(records, id))) abandoned++
    }
    report.abandoned += abandoned
    // None of a page could be abandoned: other sweeps have them.
    if (dryRun === true || abandoned === 0) return
  }
}

/**
 * Deletes at once all objects of one DELETED file; attempts that are still OPEN are left to a sweep. Safe at any time,
 * also beside a sweep. @throws StoreError, RecordsError, the signal's reason
 */
export async function sweepDeleted(
  ports: StorePorts,
  fileId: string,
  options: Pick<SweepOptions, 'actor' | 'signal'>,
): Promise<SweepReport> {
  const report = emptyReport(false)
  const whole = { ...options, graceSeconds: 0 }
  const actions = new SweepActions(ports, whole, report)
  const gone: string[] = []
  await assertOwnBucket(ports, options)
  for (const leftover of await listObjectsOfDeleted(ports.records, fileId)) {
    options.signal?.throwIfAborted()
    if (leftover.bucket !== ports.store.bucket) continue
    if (await removeAll(ports, whole, actions, leftover)) gone.push(leftover.attemptId)
  }
  await markSwept(ports.records, gone)
  report.swept += gone.length
  return report
}

type ListPage = (page: {
  readonly limit: number
  readonly after: OrphanedObject | undefined
}) => Promise<OrphanedObject[]>

async function sweepListed(
  list: ListPage,
  ports: StorePorts,
  options: SweepOptions,
  report: SweepReport,
  actions: SweepActions,
  progress: () => void,
): Promise<void> {
  let after: OrphanedObject | undefined
  do {
    const page = await list({ limit: PAGE, after })
    const gone: string[] = []
    await forEachConcurrent(page, AT_ONCE, async (leftover) => {
      progress()
      if (leftover.bucket !== ports.store.bucket) return
      if (leftover.kept !== null && !(await actions.isKept(leftover.kept, leftover.fileId))) return
      if (await removeAll(ports, options, actions, leftover)) gone.push(leftover.attemptId)
    })
    if (options.dryRun !== true) await markSwept(ports.records, gone)
    report.swept += gone.length
    after = page.length < PAGE ? undefined : page.at(-1)
  } while (after !== undefined)
}

/** @returns false when the store keeps one of its objects for now */
async function removeAll(
  { store }: StorePorts,
  { signal }: SweepOptions,
  actions: SweepActions,
  leftover: OrphanedObject,
): Promise<boolean> {
  const { objectKey } = leftover
  const request = signal === undefined ? {} : { signal }
  let all = true
  if (store.capabilities.listUploads && store.capabilities.abortUploads)
    for await (const upload of store.listUploads(objectKey, request))
      if (upload.key === objectKey) await actions.abort(upload)
  for await (const entry of store.listVersions(objectKey, request))
    if (entry.key === objectKey && !(await actions.delete(entry, leftover))) all = false
  return all
}

async function sweepUploads(
  ports: StorePorts,
  options: SweepOptions,
  report: SweepReport,
  actions: SweepActions,
  progress: () => void,
): Promise<void> {
  const { records, store } = ports
  if (!store.capabilities.listUploads || !store.capabilities.abortUploads) {
    report.blind.push('this store cannot list unfinished uploads: let a lifecycle rule of the bucket abort them')
    return
  }
  const request = options.signal === undefined ? {} : { signal: options.signal }
  for await (const uploads of inBatches(store.listUploads('', request), 500)) {
    const owners = await attemptOwners(
      records,
      store.bucket,
      uploads.flatMap(({ key }) => parseObjectKey(key)?.attemptId ?? []),
    )
    for (const upload of uploads) {
      progress()
      if (isProbe(upload.key) || upload.key.startsWith(AUDIT_PREFIX)) continue
      const owner = owners.get(parseObjectKey(upload.key)?.attemptId ?? '')
      if (owner === undefined) report.unknown++
      else if (owner.endedSecondsAgo === null || owner.endedSecondsAgo < options.graceSeconds) report.underWay++
      else await actions.abort(upload)
    }
  }
}
