/**
 * Terms. *Maintenance* repairs the consequences of crashes and outages. To *reconcile* is to compare the records with
 * the queue and give every open file a job; to *sweep* is to remove what attempts that were not kept left in the store;
 * to *scan* is to compare the records with the whole store. An object is *kept* when a STORED file names it. The
 * *grace* is the time after an attempt's end before its remains may be touched.
 */
import type { Records } from '@sealfleet/records'
import type { Store } from '@sealfleet/store'

export interface StorePorts {
  readonly records: Records
  readonly store: Store
}

export interface SweepOptions {
  readonly graceSeconds: number
  /** Seconds that the object of a superseded attempt stays, for readers in progress. Default 86,400. */
  readonly supersededGraceSeconds?: number | undefined
  /** Look and report, change nothing. */
  readonly dryRun?: boolean | undefined
  /** The actor, for the audit log. */
  readonly actor: string
  readonly signal?: AbortSignal | undefined
  /** Seconds until a probe object of a dead process is deleted, or the grace if that is longer. Default 600. */
  readonly probeGraceSeconds?: number | undefined
  /** Entries of the store, and of the records, per page; a test uses few. Default 1,000. */
  readonly pageSize?: number | undefined
  /** Called at intervals with the number of entries looked at. */
  readonly onProgress?: ((looked: number) => void) | undefined
}

/** A finding that needs attention. */
export interface Finding {
  /**
   * missing: a STORED file's object is not in the store. changed: it is there with another length or ETag. hidden: a
   * delete marker lies over it (readers by version still find it).
   */
  readonly kind: 'missing' | 'changed' | 'hidden'
  readonly fileId: string
  readonly attemptId: string
  readonly objectKey: string
}

/** The results of a sweep or a scan. Counts; in a dry run, of what would have been done. */
export interface SweepReport {
  readonly dryRun: boolean
  /** Attempts whose worker is gone: from now on they cannot be committed. */
  abandoned: number
  /** Attempts of which the store holds nothing more. */
  swept: number
  objectsDeleted: number
  bytesDeleted: number
  uploadsAborted: number
  /** Deleted probe objects and uploads of processes that died during a trial of the store. */
  probesDeleted: number
  /** Left: the store keeps them until a date or under a legal hold (object lock). A later sweep deletes them. */
  locked: number
  /** The earliest date at which one of them may be deleted; null: none has a date. */
  lockedUntil: Date | null
  /** Left alone: a worker is working on it, or it ended less than the grace ago. */
  underWay: number
  /** Left alone: the file is dead or not stored yet, so that this might be its only copy. */
  onlyCopies: number
  /** Left alone: in the store, and unknown to the records. Never deleted (`sealfleet object inspect` reads them). */
  unknown: number
  /** Kept objects found as recorded; only a scan counts them. */
  kept: number
  /** The first hundred; `found` counts all. */
  readonly findings: Finding[]
  found: number
  /** Queries that this store does not support, one sentence each. */
  readonly blind: string[]
}

export const SUPERSEDED_GRACE_S = 24 * 60 * 60

export const MOST_FINDINGS = 100

export function emptyReport(dryRun: boolean): SweepReport {
  return {
    dryRun,
    abandoned: 0,
    swept: 0,
    objectsDeleted: 0,
    bytesDeleted: 0,
    uploadsAborted: 0,
    probesDeleted: 0,
    locked: 0,
    lockedUntil: null,
    underWay: 0,
    onlyCopies: 0,
    unknown: 0,
    kept: 0,
    findings: [],
    found: 0,
    blind: [],
  }
}
