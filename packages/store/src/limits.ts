/**
 * S3's limits, and the size of a part from the length of the object.
 * Source: Amazon S3 multipart upload limits (docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html, 2026-11).
 */
import { StoreError } from './errors.js'

export const MIB = 1024 * 1024
export const MIN_PART = 5 * MIB
export const MAX_PART = 5 * 1024 * MIB
export const MAX_PARTS = 10_000
export const DEFAULT_PART = 8 * MIB
export const DEFAULT_QUEUE = 4
export const DEFAULT_IN_FLIGHT = 64 * MIB
export const DEFAULT_MAX_OBJECT = 5 * 1024 * 1024 * MIB

export interface Limits {
  /** The smallest part size that we use, bytes. */
  readonly partSize: number
  readonly queueSize: number
  /** Bytes of one put in flight at once. */
  readonly maxBytesInFlight: number
  readonly maxObjectLength: number
}

/** The largest object: the store's limit, or 10,000 of its largest parts. */
export function maxObjectLength(limits: Limits): number {
  return Math.min(limits.maxObjectLength, MAX_PART * MAX_PARTS)
}

/**
 * Bytes of every part but the last: the configured size, or the next whole MiB at which 10,000 parts are enough. Throws
 * SOURCE_TOO_LARGE when no size is enough, RangeError for a length that isn't a whole number of bytes.
 *
 * @example partSizeFor(64 * 2 ** 30, limits) // 8 MiB: 8,192 parts
 */
export function partSizeFor(length: number, limits: Limits): number {
  if (!Number.isSafeInteger(length) || length < 0) throw new RangeError(`not a length in bytes: ${length}`)
  const most = maxObjectLength(limits)
  if (length > most) {
    throw new StoreError('SOURCE_TOO_LARGE', `an object of ${length} bytes is beyond the store's limit of ${most}`, {
      fix: 'split the source, or raise the store’s object limit if it takes larger objects',
    })
  }
  return Math.max(limits.partSize, Math.ceil(length / MAX_PARTS / MIB) * MIB)
}

/** Number of parts; 1 also for the empty object. */
export function partCount(length: number, partSize: number): number {
  return Math.max(1, Math.ceil(length / partSize))
}

/**
 * Parts in flight at once: the configured number, fewer when large parts would exceed the byte budget, at least one.
 */
export function queueSizeFor(length: number, limits: Limits): number {
  const partSize = partSizeFor(length, limits)
  return Math.max(1, Math.min(limits.queueSize, Math.floor(limits.maxBytesInFlight / partSize)))
}
