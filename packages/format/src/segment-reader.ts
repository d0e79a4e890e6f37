/**
 * Step 8 of opening: segments come from the wire into buffers of at most S + 32 bytes, and leave this file only when
 * their tag is right. Index, length and finality are the reader's own arithmetic.
 */
import { FormatError } from './errors.js'
import { type ObjectReader, readExactly } from './reader.js'
import { segmentTagMatches } from './segment.js'
import { type Geometry, TAG_LENGTH, isFinal, segmentLength, segmentOffset } from './sizes.js'
import type { Cancellable } from './terms.js'

/** A segment that is authentic. */
export interface AuthenticSegment {
  readonly index: number
  readonly final: boolean
  /** A view on a buffer that the caller's `bufferFor` gave. */
  readonly ciphertext: Buffer
  readonly tag: Buffer
}

export interface SegmentSource {
  readonly reader: ObjectReader
  readonly geometry: Geometry
  readonly headerTag: Uint8Array
  /** Read again for each segment, so that a wiped key is never used. */
  readonly signingKey: () => Buffer
  /** A buffer of at least `length` bytes for the next segment and its tag; `length` is at most S + 32. */
  readonly bufferFor: (length: number) => Buffer
}

/** Segments first..last in order, in one read. Throws E_SEGMENT_AUTH at the first that is not authentic. */
export async function* authenticSegments(
  source: SegmentSource,
  first: number,
  last: number,
  options: Cancellable = {},
): AsyncGenerator<AuthenticSegment, void, void> {
  const { reader, geometry } = source
  const wireLength = (index: number) => segmentLength(geometry, index) + TAG_LENGTH
  const offset = segmentOffset(geometry, first)
  const end = segmentOffset(geometry, last) + wireLength(last)
  let index = first
  let wanted = wireLength(index)
  let buffer: Buffer | null = null
  let filled = 0
  for await (const chunk of readExactly(reader, offset, end - offset, options)) {
    for (let at = 0; at < chunk.length;) {
      buffer ??= source.bufferFor(wanted)
      const take = Math.min(chunk.length - at, wanted - filled)
      buffer.set(chunk.subarray(at, at + take), filled)
      at += take
      filled += take
      if (filled < wanted) continue
      yield authentic(source, index, buffer.subarray(0, wanted))
      options.signal?.throwIfAborted()
      index += 1
      if (index <= last) wanted = wireLength(index)
      buffer = null
      filled = 0
    }
  }
}

function authentic(source: SegmentSource, index: number, wire: Buffer): AuthenticSegment {
  const ciphertext = wire.subarray(0, wire.length - TAG_LENGTH)
  const tag = wire.subarray(wire.length - TAG_LENGTH)
  const segment = { index, final: isFinal(source.geometry, index), ciphertext, tag }
  if (!segmentTagMatches(tag, source.signingKey(), source.headerTag, segment)) {
    throw new FormatError('E_SEGMENT_AUTH', `segment ${index} is not what its sealer wrote`)
  }
  return segment
}
