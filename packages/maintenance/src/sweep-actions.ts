import { appendAudit } from '@sealfleet/records/audit'
import { attemptOwners, type CommittedObject } from '@sealfleet/records/attempts'
import type { ListedUpload, ListedVersion } from '@sealfleet/store'

import { isLocked } from './locked.js'
import { MOST_FINDINGS, type Finding, type StorePorts, type SweepOptions, type SweepReport } from './terms.js'

/** The deletions of a sweep: each one goes through this class, is counted, and leaves a row in the audit log. */
export class SweepActions {
  readonly #ports: StorePorts
  readonly #options: SweepOptions
  readonly #report: SweepReport
  readonly #there = new Map<string, Promise<Finding['kind'] | undefined>>()

  constructor(ports: StorePorts, options: SweepOptions, report: SweepReport) {
    this.#ports = ports
    this.#options = options
    this.#report = report
  }

  /**
   * Permanently deletes one version of an object. The audit row is written first: a deletion without a row is worse
   * than a row about a deletion that failed.
   * @returns false when the store keeps it for now (object lock): it is counted, and left to a later sweep
   */
  async delete(entry: ListedVersion, owner: { readonly fileId: string; readonly attemptId: string }): Promise<boolean> {
    const { dryRun, actor, signal } = this.#options
    if (await isLocked(this.#ports.store, entry, this.#report, signal)) return false
    if (dryRun !== true) {
      await appendAudit(this.#ports.records, {
        actor,
        action: 'sweep.delete',
        subjectKind: 'file',
        subjectId: owner.fileId,
        detail: {
          attemptId: owner.attemptId,
          key: entry.key,
          version: entry.version ?? null,
          bytes: entry.length ?? 0,
        },
      })
      await this.#ports.store.deleteVersion(entry.key, entry.version, options(signal))
    }
    this.#report.objectsDeleted++
    this.#report.bytesDeleted += entry.length ?? 0
    return true
  }

  async abort({ key, uploadId }: Pick<ListedUpload, 'key' | 'uploadId'>): Promise<void> {
    const { dryRun, signal } = this.#options
    if (dryRun !== true) await this.#ports.store.abortUpload(key, uploadId, options(signal))
    this.#report.uploadsAborted++
  }

  /**
   * Whether a STORED file's object is in the store as recorded: no other object of that file is deleted otherwise. A
   * fault of it becomes a finding, once.
   */
  async isKept(kept: CommittedObject, fileId: string): Promise<boolean> {
    const looking = this.#there.get(kept.attemptId) ?? this.#look(kept)
    if (!this.#there.has(kept.attemptId)) {
      if (this.#there.size >= 10_000) this.#there.clear()
      this.#there.set(kept.attemptId, looking)
      const kind = await looking
      if (kind !== undefined && (await this.#isStillKept(kept)))
        this.find({ kind, fileId, attemptId: kept.attemptId, objectKey: kept.objectKey })
    }
    return (await looking) === undefined
  }

  /**
   * The file may have been deleted, or stored in another object, since its record was read: then this object may be
   * gone.
   */
  async #isStillKept({ attemptId, bucket }: CommittedObject): Promise<boolean> {
    const owner = (await attemptOwners(this.#ports.records, bucket, [attemptId])).get(attemptId)
    return owner?.kept?.attemptId === attemptId
  }

  find(finding: Finding): void {
    this.#report.found++
    if (this.#report.findings.length < MOST_FINDINGS) this.#report.findings.push(finding)
  }

  async #look({ bucket, objectKey, version, etag, length }: CommittedObject): Promise<Finding['kind'] | undefined> {
    // Another bucket than ours: its state is unknown, so no deletion may depend on it.
    if (bucket !== this.#ports.store.bucket) return 'missing'
    try {
      const { signal } = this.#options
      const head = await this.#ports.store.head(objectKey, {
        ...options(signal),
        ...(version !== null && { version }),
      })
      return head.length === length && (version !== null || head.etag === etag) ? undefined : 'changed'
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'S3_NO_SUCH_OBJECT') return 'missing'
      throw error
    }
  }
}

function options(signal: AbortSignal | undefined): { signal?: AbortSignal } {
  return signal === undefined ? {} : { signal }
}
