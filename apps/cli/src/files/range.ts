import { usageError } from '../cli-error.js'

/** `--range` as it was written; offsets in bytes of plaintext. */
export type RangeSpec =
  | { readonly kind: 'from'; readonly first: number; readonly last: number | undefined }
  | { readonly kind: 'suffix'; readonly length: number }

/**
 * Parses `A-B`, `A-` or `-N`, as HTTP's Range does (RFC 9110 §14.1.2): both ends count, `-N` is the last N bytes.
 * Throws a usage error for anything else.
 */
export function parseRange(text: string): RangeSpec {
  const match = /^(\d{1,15})?-(\d{1,15})?$/.exec(text)
  const [, a, b] = match ?? []
  if (!match || (a === undefined && b === undefined)) {
    throw usageError(`--range ${JSON.stringify(text)} is not A-B, A- or -N`, 'for the first KiB: --range 0-1023')
  }
  if (a === undefined) return { kind: 'suffix', length: Number(b) }
  const first = Number(a)
  const last = b === undefined ? undefined : Number(b)
  if (last !== undefined && last < first) throw usageError(`--range ${text} ends before it begins`)
  return { kind: 'from', first, last }
}

/**
 * The half-open range of a plaintext of `length` bytes; an end beyond the file is its end. Throws a usage error when
 * no byte of the file is in it (and `A` is not simply the end of an empty request such as `-0`).
 */
export function resolveRange(spec: RangeSpec, length: number): { start: number; end: number } {
  if (spec.kind === 'suffix') return { start: Math.max(0, length - spec.length), end: length }
  if (spec.first >= length) {
    throw usageError(`--range begins at byte ${spec.first}, but the file has ${length} bytes`)
  }
  return { start: spec.first, end: Math.min(length, (spec.last ?? length - 1) + 1) }
}
