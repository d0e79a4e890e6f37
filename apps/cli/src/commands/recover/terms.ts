/**
 * Terms. To *recover* is to write the records of a bucket's objects, from the objects and the HSM alone. An object is
 * *placed* when a record names it afterwards. A *whole* object is one whose every byte was found authentic; a *damaged*
 * one is not, and its header may be *authentic* all the same. Of a file's attempts the whole one of the highest number
 * *wins*.
 */
import type { ObjectInfo } from '@sealfleet/format'
import type { ListedVersion } from '@sealfleet/store'

/** Source root of recovered files whose objects do not name their source. Their path is the file's id. */
export const RECOVERED_ROOT = 'recovered'
/** Owner of recovered attempts. */
export const RECOVERED_BY = 'recover'

/** One version of an object, with its header. */
export interface Sealed {
  readonly entry: ListedVersion
  readonly info: ObjectInfo
}

/** A sealed object without a record, and why. */
export interface Unplaced {
  readonly key: string
  readonly version: string | null
  readonly fileId: string | null
  readonly attemptNo: number | null
  readonly code: string
  readonly message: string
}

/** The report of one run, updated while it runs. */
export interface RecoveryReport {
  /** Records of files that were written; in a dry run, that would be. */
  recovered: number
  /** Files that an earlier run recovered, found as recorded. */
  already: number
  /** Files whose record was not recovered: left exactly as it is. */
  kept: number
  /** Objects read, and their bytes. */
  objects: number
  bytes: number
  /** Attempts that lost and are recorded with their files. */
  losers: number
  /** Duplicates of one object, as buckets with versions keep them. */
  duplicates: number
  /** Recovered files whose object lies under a delete marker. */
  hidden: number
  /** Objects in the bucket that are not sealed objects. */
  foreign: number
  readonly domains: Map<string, { files: number; bytes: number }>
  /** The first thousand; `unplacedTotal` counts all. */
  readonly unplaced: Unplaced[]
  unplacedTotal: number
  /** Recovered files with the source that their object's metadata claims, and those whose claim was not believed. */
  named: number
  claimsRefused: number
}

const MOST_UNPLACED = 1_000

export function emptyRecovery(): RecoveryReport {
  return {
    ...{ recovered: 0, already: 0, kept: 0, objects: 0, bytes: 0, losers: 0, duplicates: 0, hidden: 0, foreign: 0 },
    domains: new Map(),
    unplaced: [],
    unplacedTotal: 0,
    ...{ named: 0, claimsRefused: 0 },
  }
}

export function note(report: RecoveryReport, unplaced: Unplaced): void {
  report.unplacedTotal += 1
  if (report.unplaced.length < MOST_UNPLACED) report.unplaced.push(unplaced)
}

export function unplaced(
  { key, version }: ListedVersion,
  info: ObjectInfo | undefined,
  code: string,
  message: string,
): Unplaced {
  const fileId = info?.fileId ?? null
  return { key, version: version ?? null, fileId, attemptNo: info?.attemptNo ?? null, code, message }
}
