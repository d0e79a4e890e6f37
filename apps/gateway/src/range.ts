/** Bytes [start, end) of a file. */
export interface ByteRange {
  readonly start: number
  readonly end: number
}

/**
 * The one range that a `Range` header asks for (RFC 9110 §14.2). `whole`: there is none, or one that a server ignores
 * (another unit, several ranges, a malformed one); `unsatisfiable`: no byte of the file is in it.
 */
export function rangeOf(header: string | undefined, length: number): ByteRange | 'whole' | 'unsatisfiable' {
  const [, from, to] = /^bytes=[\t ]*(\d{1,15})?-(\d{1,15})?[\t ]*$/i.exec(header ?? '') ?? []
  if (from === undefined && to === undefined) return 'whole'
  if (from === undefined) {
    const last = Math.min(Number(to), length)
    return last === 0 ? 'unsatisfiable' : { start: length - last, end: length }
  }
  const start = Number(from)
  const end = to === undefined ? length : Math.min(length, Number(to) + 1)
  if (to !== undefined && Number(to) < start) return 'whole'
  return start >= length ? 'unsatisfiable' : { start, end }
}
