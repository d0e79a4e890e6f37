import {
  attemptOwners,
  listCommittedObjects,
  type AttemptOwner,
  type CommittedObject,
} from '@sealfleet/records/attempts'
import type { Records } from '@sealfleet/records'
import type { ListedVersion } from '@sealfleet/store'

import { AUDIT_PREFIX, isProbe } from '@sealfleet/objects'
import { inBatches } from '@sealfleet/runtime'
import { assertOwnBucket, FLEET_MARK } from '@sealfleet/objects'
import { SweepActions } from './sweep-actions.js'
import { parseObjectKey } from '@sealfleet/objects'
import { abandonOrphans } from './sweep.js'
import { emptyReport, SUPERSEDED_GRACE_S, type StorePorts, type SweepOptions, type SweepReport } from './terms.js'

const PAGE = 1_000

/**
 * Compares a listing of the whole bucket with the records, both in the order of keys, in the memory of one page of
 * each:
 *
 * - objects of attempts that were not kept are deleted as by a sweep, also late ones (of a worker that hung for longer
 *   than the grace), and further versions of kept objects that a doubled request made;
 * - so are objects of DELETED files, and those of SUPERSEDED attempts after their grace;
 * - a STORED file whose object is missing or changed is a finding: it is only reported;
 * - objects unknown to the records are counted and never deleted: the database may be older than the store.
 *
 * Unfinished uploads are left to the sweep. @throws FleetMismatchError before any change, StoreError, RecordsError, the
 * signal's reason
 */
export async function scan(ports: StorePorts, options: SweepOptions): Promise<SweepReport> {
  const report = emptyReport(options.dryRun === true)
  const actions = new SweepActions(ports, options, report)
  let looked = 0
  const progress = (): void => {
    options.signal?.throwIfAborted()
    options.onProgress?.(++looked)
  }
  await assertOwnBucket(ports, options)
  await abandonOrphans(ports, options, report, progress)
  const { store, records } = ports
  const { pageSize = PAGE } = options
  const register = new Register(records, store.bucket, pageSize)
  const request = options.signal === undefined ? {} : { signal: options.signal }
  for await (const entries of inBatches(store.listVersions('', request), pageSize)) {
    const owners = await attemptOwners(
      records,
      store.bucket,
      entries.flatMap(({ key }) => parseObjectKey(key)?.attemptId ?? []),
    )
    for (const entry of entries) {
      progress()
      if (entry.key.startsWith(AUDIT_PREFIX)) continue
      await look(entry, owners.get(parseObjectKey(entry.key)?.attemptId ?? ''), options, report, actions)
    }
    // Kept objects up to here that the listing did not show are looked up by key: they may have been written meanwhile,
    // and a store need not list in order.
    const last = entries.filter((entry) => !entry.deleteMarker).at(-1)
    if (last !== undefined)
      for await (const kept of register.upTo(last.key, entries)) await actions.isKept(kept, kept.fileId)
  }
  for await (const kept of register.upTo(undefined, [])) await actions.isKept(kept, kept.fileId)
  return report
}

async function look(
  entry: ListedVersion,
  owner: AttemptOwner | undefined,
  options: SweepOptions,
  report: SweepReport,
  actions: SweepActions,
): Promise<void> {
  if (owner === undefined) {
    const ours = entry.key === FLEET_MARK || isProbe(entry.key) || entry.key.startsWith(AUDIT_PREFIX)
    if (!ours) report.unknown++
    return
  }
  const { kept, attemptId, fileId } = owner
  if (kept?.attemptId === attemptId) {
    if (entry.deleteMarker) actions.find({ kind: 'hidden', fileId, attemptId, objectKey: entry.key })
    else if (isKept(entry, kept)) report.kept++
    else if (kept.version === null) await actions.isKept(kept, fileId)
    // Another version under the kept object's own key: its request was sent twice.
    else if (ended(owner, options) && (await actions.isKept(kept, fileId))) await actions.delete(entry, owner)
    else report.underWay++
    return
  }
  if (!ended(owner, options)) report.underWay++
  else if (owner.deleted) await actions.delete(entry, owner)
  else if (owner.state === 'SUPERSEDED' && kept !== null) {
    if (!graceIsOver(owner, options)) report.underWay++
    else if (await actions.isKept(kept, fileId)) await actions.delete(entry, owner)
  } else if (owner.state === 'COMMITTED' || owner.state === 'SUPERSEDED' || owner.state === 'OPEN') report.onlyCopies++
  else if (kept === null && owner.fileState !== 'DISCARDED' && owner.fileState !== 'DELETED') report.onlyCopies++
  else if (kept === null || (await actions.isKept(kept, fileId))) await actions.delete(entry, owner)
}

function isKept(entry: ListedVersion, kept: CommittedObject): boolean {
  return kept.version === null
    ? entry.version === undefined && entry.length === kept.length
    : entry.version === kept.version && entry.length === kept.length
}

function ended({ endedSecondsAgo }: AttemptOwner, { graceSeconds }: SweepOptions): boolean {
  return endedSecondsAgo !== null && endedSecondsAgo >= graceSeconds
}

/** Readers of the old object have had time to finish, or to find its replacement. */
function graceIsOver(
  { supersededSecondsAgo }: AttemptOwner,
  { supersededGraceSeconds = SUPERSEDED_GRACE_S }: SweepOptions,
): boolean {
  return supersededSecondsAgo !== null && supersededSecondsAgo >= supersededGraceSeconds
}

/** The kept objects in the order of their keys, a page at a time. */
class Register {
  readonly #records: Records
  readonly #bucket: string
  #page: Awaited<ReturnType<typeof listCommittedObjects>> = []
  #place = 0
  #after: string | undefined
  #ended = false
  readonly #size: number

  constructor(records: Records, bucket: string, size: number) {
    this.#records = records
    this.#bucket = bucket
    this.#size = size
  }

  /** The kept objects up to this key (undefined: all remaining) that are not among the entries as recorded. */
  async *upTo(key: string | undefined, entries: readonly ListedVersion[]) {
    const seen = new Map(entries.map((entry) => [`${entry.key}\0${entry.version ?? ''}`, entry]))
    for (;;) {
      const next = await this.#peek()
      if (
        next === undefined ||
        (key !== undefined && Buffer.compare(Buffer.from(next.objectKey), Buffer.from(key)) > 0)
      )
        return
      this.#place++
      const entry = seen.get(`${next.objectKey}\0${next.version ?? ''}`)
      if (entry === undefined || entry.deleteMarker || !isKept(entry, next)) yield next
    }
  }

  async #peek() {
    if (this.#place < this.#page.length) return this.#page[this.#place]
    if (this.#ended) return undefined
    this.#page = await listCommittedObjects(this.#records, {
      bucket: this.#bucket,
      after: this.#after,
      limit: this.#size,
    })
    this.#place = 0
    this.#after = this.#page.at(-1)?.objectKey
    this.#ended = this.#page.length < this.#size
    return this.#page[0]
  }
}
