/** Sources of sealed bytes. */
import { untilAborted } from './cancel.js'
import { FormatError } from './errors.js'
import type { Cancellable } from './terms.js'

/** Random access to one sealed object whose bytes do not change: on S3, every request pinned to one version. */
export interface ObjectReader {
  /** T, the object's total length in bytes. */
  readonly length: number
  /**
   * Exactly `length` bytes from `offset` on, in chunks of any size, or an error. A chunk is used before the next is
   * requested, so the reader may then reuse its buffer.
   */
  read(offset: number, length: number, options?: { signal?: AbortSignal }): AsyncIterable<Uint8Array>
}

/** An object in memory. */
export function bufferReader(bytes: Uint8Array): ObjectReader {
  return {
    length: bytes.length,
    // eslint-disable-next-line @typescript-eslint/require-await -- an async iterable over what is at hand
    async *read(offset, length) {
      const slice = bytes.subarray(offset, offset + length)
      if (slice.length > 0) yield slice
    },
  }
}

/**
 * Passes on `reader.read(…)`, and throws E_LENGTH when it gives another number of bytes: the object is shorter or
 * longer than stated. Allocates nothing.
 */
export async function* readExactly(
  reader: ObjectReader,
  offset: number,
  length: number,
  { signal }: Cancellable = {},
): AsyncGenerator<Uint8Array> {
  let got = 0
  for await (const chunk of untilAborted(reader.read(offset, length, signal ? { signal } : {}), signal)) {
    got += chunk.length
    if (got > length) throw new FormatError('E_LENGTH', `more than ${length} bytes came for offset ${offset}`)
    if (chunk.length > 0) yield chunk
  }
  if (got < length) throw new FormatError('E_LENGTH', `${got} bytes came for offset ${offset}, not ${length}`)
}

/** Reads a small piece (a header, a trailer) whole, into a fresh buffer. */
export async function readPiece(
  reader: ObjectReader,
  offset: number,
  length: number,
  options: Cancellable = {},
): Promise<Buffer> {
  const piece = Buffer.alloc(length)
  let at = 0
  for await (const chunk of readExactly(reader, offset, length, options)) {
    piece.set(chunk, at)
    at += chunk.length
  }
  return piece
}
