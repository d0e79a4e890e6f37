/**
 * Step 8 of opening: segments come from the wire into buffers of at most S + 32 bytes, and leave this file only when
 * their tag is right. Index, length and finality are the reader's own arithmetic.
 */
import type { Kernel, Segment } from '@sealfleet/kernel'
import { secrets } from './arena.js'
import { aesKeyOf, initialCounterOf } from './derivation.js'
import { FormatError } from './errors.js'
import { type ObjectReader, readExactly } from './reader.js'
import { segmentPrefix, segmentTagMatches } from './segment.js'
import { SegmentWindow, segmentsAtOnce } from './segment-window.js'
import { type Geometry, TAG_LENGTH, isFinal, segmentLength, segmentOffset } from './sizes.js'
import type { Cancellable, Suite } from './terms.js'

/** A segment that is authentic. */
export interface AuthenticSegment {
  readonly index: number
  readonly final: boolean
  /** What the caller's `bufferFor` gave: the segment and its tag. */
  readonly buffer: Buffer
  /** A view on it; where the kernel decrypts, a part of it is plaintext by now. */
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
      yield authentic(source, index, buffer, wanted)
      options.signal?.throwIfAborted()
      index += 1
      if (index <= last) wanted = wireLength(index)
      buffer = null
      filled = 0
    }
  }
}

function segmentIn(source: SegmentSource, index: number, buffer: Buffer, length: number): AuthenticSegment {
  const ciphertext = buffer.subarray(0, length - TAG_LENGTH)
  const tag = buffer.subarray(length - TAG_LENGTH, length)
  return { index, final: isFinal(source.geometry, index), buffer, ciphertext, tag }
}

function authentic(source: SegmentSource, index: number, buffer: Buffer, length: number): AuthenticSegment {
  const segment = segmentIn(source, index, buffer, length)
  if (!segmentTagMatches(segment.tag, source.signingKey(), source.headerTag, segment)) throw forged(index)
  return segment
}

function forged(index: number): FormatError {
  return new FormatError('E_SEGMENT_AUTH', `segment ${index} is not what its sealer wrote`)
}

/** What the kernel decrypts of each segment that is authentic: plaintext [start, end). */
export interface Decryption {
  readonly suite: Suite
  /** Read again for each segment, as `signingKey` is. */
  readonly dataKey: () => Buffer
  readonly start: number
  readonly end: number
}

/**
 * The same by the native kernel, several segments at once: up to `segmentsAtOnce` are read before the first leaves. With
 * `decryption`, those bytes of a segment are plaintext when it leaves. Plaintext that does not leave is wiped.
 */
export async function* segmentsByKernel(
  kernel: Kernel,
  source: SegmentSource,
  first: number,
  last: number,
  options: Cancellable = {},
  decryption?: Decryption,
): AsyncGenerator<AuthenticSegment, void, void> {
  const { reader, geometry } = source
  const wireLength = (index: number) => segmentLength(geometry, index) + TAG_LENGTH
  const offset = segmentOffset(geometry, first)
  const end = segmentOffset(geometry, last) + wireLength(last)
  const window = new SegmentWindow<{ readonly read: AuthenticSegment; readonly segment: Segment }>(kernel)
  const most = segmentsAtOnce(geometry.segmentSize)
  const oldest = async (): Promise<AuthenticSegment | undefined> => {
    const next = await window.next()
    options.signal?.throwIfAborted()
    if (next?.authentic === false) throw forged(next.work.read.index)
    return next?.work.read
  }
  const chunks = readExactly(reader, offset, end - offset, options)
  let index = first
  let buffer: Buffer | null = null
  let filled = 0
  try {
    for (;;) {
      let chunk: Uint8Array
      try {
        const next = await chunks.next()
        if (next.done) break
        chunk = next.value
      } catch (error) {
        options.signal?.throwIfAborted()
        // What came before leaves first, as if it had not been read ahead.
        window.flush()
        for (let read = await oldest(); read; read = await oldest()) yield read
        throw error
      }
      for (let at = 0; at < chunk.length;) {
        const wanted = wireLength(index)
        buffer ??= source.bufferFor(wanted)
        const take = Math.min(chunk.length - at, wanted - filled)
        buffer.set(chunk.subarray(at, at + take), filled)
        at += take
        filled += take
        if (filled < wanted) continue
        const read = segmentIn(source, index, buffer, wanted)
        window.add({ read, segment: segmentToOpen(source, read, decryption) })
        index += 1
        buffer = null
        filled = 0
        const ready = window.size < most ? undefined : await oldest()
        if (ready) yield ready
      }
    }
    window.flush()
    for (let read = await oldest(); read; read = await oldest()) yield read
  } finally {
    const left = await window.end()
    if (decryption) for (const { read } of left) read.buffer.fill(0)
    await chunks.return(undefined)
  }
}

function segmentToOpen(source: SegmentSource, read: AuthenticSegment, decryption: Decryption | undefined): Segment {
  const { geometry } = source
  const { index, final, ciphertext, tag } = read
  const offset = index * geometry.segmentSize
  const held = (key: Buffer): Buffer => {
    secrets.assertHeld(key)
    return key
  }
  const macKeys = () => ({
    macKey: held(source.signingKey()),
    prefix: segmentPrefix(source.headerTag, index, ciphertext.length, final),
  })
  if (!decryption) return { operation: 'verify', data: ciphertext, tag, keys: macKeys }
  const { suite, dataKey, start, end } = decryption
  return {
    operation: 'open',
    data: ciphertext,
    tag,
    range: { from: Math.max(0, start - offset), to: Math.min(ciphertext.length, end - offset) },
    keys: () => {
      const key = held(dataKey())
      const cipher = { key: aesKeyOf(suite, key), counter: initialCounterOf(suite, key), block: offset / 16 }
      return { ...macKeys(), cipher }
    },
  }
}
