/**
 * The arithmetic of a sealed object (docs/design/format.md §4): lengths, their inverse, and where each segment lies.
 * Integer arithmetic on doubles: every value stays below 2^45.
 */
import { FormatError } from './errors.js'

export const HEADER_LENGTH = 320
export const TRAILER_LENGTH = 96
export const TAG_LENGTH = 32
/** The bytes of an object beside its segments. */
export const FRAME_LENGTH = HEADER_LENGTH + TRAILER_LENGTH
export const MIN_SEG_LOG2 = 16
export const MAX_SEG_LOG2 = 24
export const DEFAULT_SEG_LOG2 = 20
/** 16 TiB: the longest plaintext. */
export const MAX_PLAINTEXT_LENGTH = 2 ** 44

/** All lengths of one object; they follow from any two of seg_log2, plaintext length and object length. */
export interface Geometry {
  readonly segLog2: number
  /** S, in bytes. */
  readonly segmentSize: number
  readonly segmentCount: number
  readonly plaintextLength: number
  readonly objectLength: number
}

/** S in bytes; throws RangeError for a seg_log2 outside 16..24. */
export function segmentSize(segLog2: number): number {
  if (!Number.isInteger(segLog2) || segLog2 < MIN_SEG_LOG2 || segLog2 > MAX_SEG_LOG2) {
    throw new RangeError(`segLog2 must be an integer from ${MIN_SEG_LOG2} to ${MAX_SEG_LOG2}`)
  }
  return 2 ** segLog2
}

function ceilDivide(a: number, b: number): number {
  const rest = a % b
  return (a - rest) / b + (rest === 0 ? 0 : 1)
}

function checkPlaintextLength(length: number): void {
  if (!Number.isSafeInteger(length) || length < 0) throw new RangeError('a plaintext length is a whole number ≥ 0')
  if (length > MAX_PLAINTEXT_LENGTH) throw new FormatError('E_LENGTH', 'a file can have at most 2^44 bytes')
}

/** n = max(1, ⌈L/S⌉): an empty file has one empty segment. */
export function segmentCount(plaintextLength: number, segLog2: number): number {
  checkPlaintextLength(plaintextLength)
  return Math.max(1, ceilDivide(plaintextLength, segmentSize(segLog2)))
}

/**
 * T = 416 + L + 32·n. Throws E_LENGTH for a plaintext beyond 2^44.
 *
 * @example
 * objectLength(0, 20) // 448
 */
export function objectLength(plaintextLength: number, segLog2: number): number {
  return FRAME_LENGTH + plaintextLength + TAG_LENGTH * segmentCount(plaintextLength, segLog2)
}

/** The inverse of `objectLength`; throws E_LENGTH for a T that no plaintext has. */
export function plaintextLength(objectLength: number, segLog2: number): number {
  return geometryOfObject(objectLength, segLog2).plaintextLength
}

export function geometryOfObject(objectLength: number, segLog2: number): Geometry {
  const size = segmentSize(segLog2)
  const body = objectLength - FRAME_LENGTH
  if (!Number.isSafeInteger(objectLength) || body < TAG_LENGTH) {
    throw new FormatError('E_LENGTH', `an object has at least ${FRAME_LENGTH + TAG_LENGTH} bytes, not ${objectLength}`)
  }
  const count = Math.max(1, ceilDivide(body, size + TAG_LENGTH))
  const length = body - TAG_LENGTH * count
  const fits = count === 1 ? length >= 0 && length <= size : length > (count - 1) * size && length <= count * size
  if (!fits || length > MAX_PLAINTEXT_LENGTH) {
    throw new FormatError('E_LENGTH', `no file gives an object of ${objectLength} bytes in segments of ${size}`)
  }
  return { segLog2, segmentSize: size, segmentCount: count, plaintextLength: length, objectLength }
}

export function geometryOfPlaintext(plaintextLength: number, segLog2: number): Geometry {
  return {
    segLog2,
    segmentSize: segmentSize(segLog2),
    segmentCount: segmentCount(plaintextLength, segLog2),
    plaintextLength,
    objectLength: objectLength(plaintextLength, segLog2),
  }
}

/** Where segment `index` starts in the object. */
export function segmentOffset(geometry: Geometry, index: number): number {
  return HEADER_LENGTH + index * (geometry.segmentSize + TAG_LENGTH)
}

/** len(C_i): S, or the remaining bytes for the last segment. */
export function segmentLength(geometry: Geometry, index: number): number {
  return isFinal(geometry, index) ? geometry.plaintextLength - index * geometry.segmentSize : geometry.segmentSize
}

export function isFinal(geometry: Geometry, index: number): boolean {
  return index === geometry.segmentCount - 1
}
