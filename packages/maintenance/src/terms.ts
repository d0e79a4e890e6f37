/**
 * Terms. *Maintenance* puts right what crashes and outages leave behind. To *reconcile* is to compare the records with the
 * queue and give every open file a job; to *sweep* is to take away what attempts that were not kept left in the store; to
 * *scan* is to compare the records with the whole store. An object is *kept* when a STORED file names it. The *grace* is how
 * long an attempt must have been over before anything of it is touched.
 */
import type { Records } from '@sealfleet/records'
import type { Store } from '@sealfleet/store'

export interface StorePorts {
  readonly records: Records
  readonly store: Store
}

export interface SweepOptions {
  readonly graceSeconds: number
  /** How long the object of an attempt stays whose place another took, for readers that are at it. Default 86,400. */
  readonly supersededGraceSeconds?: number | undefined
  /** Look and report, change nothing. */
  readonly dryRun?: boolean | undefined
  /** Who, for the audit log. */
  readonly actor: string
  readonly signal?: AbortSignal | undefined
  /** What a process left that died while it tried the store out goes after so long, or after the grace if that is more. Default 600. */
  readonly probeGraceSeconds?: number | undefined
  /** Entries of the store, and of the records, that are looked at together; a test wants few. Default 1,000. */
  readonly pageSize?: number | undefined
  /** Told now and then how many things have been looked at. */
  readonly onProgress?: ((looked: number) => void) | undefined
}

/** Something that a person must look at. */
export interface Finding {
  /**
   * missing: a STORED file's object is not in the store. changed: it is there with another length or ETag. hidden: a delete
   * marker lies over it (anyone who reads by version still finds it).
   */
  readonly kind: 'missing' | 'changed' | 'hidden'
  readonly fileId: string
  readonly attemptId: string
  readonly objectKey: string
}

/** What a sweep or a scan saw and did. Counts; with a dry run, of what would have been done. */
export interface SweepReport {
  readonly dryRun: boolean
  /** Attempts whose worker is gone: from now on they cannot be committed. */
  abandoned: number
  /** Attempts of which the store holds nothing any more. */
  swept: number
  objectsDeleted: number
  bytesDeleted: number
  uploadsAborted: number
  /** Objects and uploads that a process left which died while it tried the store out; deleted. */
  probesDeleted: number
  /** Left: the store keeps them until a date or under a legal hold (object lock). A later sweep deletes them. */
  locked: number
  /** The first date at which one of them may go; null: none has a date. */
  lockedUntil: Date | null
  /** Left alone: a worker is at it, or it ended less than the grace ago. */
  underWay: number
  /** Left alone: the file is not stored yet or dead, so that this might be its only copy. */
  onlyCopies: number
  /** Left alone: in the store, and unknown to the records. Never deleted (`sealfleet object inspect` reads them). */
  unknown: number
  /** Kept objects that were found as recorded; a scan alone counts them. */
  kept: number
  /** The first hundred; `found` counts all. */
  readonly findings: Finding[]
  found: number
  /** What this store can't be asked, in a sentence each. */
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
