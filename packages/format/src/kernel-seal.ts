/**
 * Sealing with the native kernel, for a plaintext of known length: it is read into the object's own buffers and encrypted
 * there, several segments at once. A buffer is yielded only when all of it is ciphertext.
 *
 * Two of the object's buffers are held at most: while the older waits for its last segments, the next one is filled, so
 * that no core is idle at a buffer's end. One is held while the consumer has the older.
 *
 * A segment that crosses the end of a buffer is sealed in a buffer of its own, and copied. There is one such buffer: the
 * next crossing comes only when the older of the two has left, and with it the segment that crossed its end.
 */
import { createHash } from 'node:crypto'
import type { Kernel, Segment } from '@sealfleet/kernel'
import type { ChunkWriter } from './chunks.js'
import { aesKeyOf, initialCounterOf } from './derivation.js'
import { FormatError } from './errors.js'
import type { Filler } from './plaintext.js'
import type { SealResult } from './sealing-pass.js'
import { secrets } from './arena.js'
import { segmentPrefix } from './segment.js'
import { SEALED_AT_ONCE, SegmentWindow } from './segment-window.js'
import { type Geometry, TAG_LENGTH, isFinal, segmentLength } from './sizes.js'
import type { Suite } from './terms.js'
import { encodeTrailer } from './trailer.js'

export interface KernelSealing {
  readonly kernel: Kernel
  readonly writer: ChunkWriter
  readonly filler: Filler
  readonly geometry: Geometry
  readonly suite: Suite
  readonly dataKey: Buffer
  readonly signingKey: Buffer
  readonly htag: Buffer
  /** Throws when sealing must end: after an abort, or when the keys were wiped. */
  readonly check: () => void
}

interface Sealing {
  readonly segment: Segment
  /** The segment and its tag. */
  readonly place: Buffer
  /** If that lies outside the object's buffers: where its bytes go, in order. */
  readonly crossing: readonly Buffer[] | undefined
}

/**
 * Yields the object's buffers, but for the last, which is left in the writer, and returns the result. When it has ended,
 * on any path, no thread uses a buffer or a key any more, and what was not yielded is wiped unless all went well.
 */
export async function* sealWithKernel(o: KernelSealing): AsyncGenerator<Buffer, SealResult, void> {
  const { geometry, writer } = o
  const window = new SegmentWindow<Sealing>(o.kernel)
  const tags = createHash('sha256')
  /** For each full buffer in the writer: the number of segments that must be sealed before it leaves. */
  const awaited: number[] = []
  let settled = 0
  let own: Buffer | undefined
  let sealed = false

  const settle = async (): Promise<void> => {
    const next = await window.next()
    if (next === undefined) return
    o.check()
    if (!next.authentic) throw new Error('the kernel did not seal a segment')
    const { segment, place, crossing } = next.work
    tags.update(segment.tag)
    if (crossing) scatter(place, crossing)
    settled += 1
  }

  /** Yields the oldest buffers until `most` full ones are left, and every other that is all ciphertext by now. */
  async function* handOver(most: number): AsyncGenerator<Buffer, void, void> {
    for (;;) {
      while (window.oldestIsDone) await settle()
      const needs = awaited[0]
      if (needs === undefined) return
      if (settled < needs) {
        if (awaited.length <= most) return
        await settle()
        continue
      }
      awaited.shift()
      const buffer = writer.take()
      if (buffer) yield buffer
      o.check()
    }
  }
  const noteFull = (needs: number): void => {
    while (awaited.length < writer.fullCount) awaited.push(needs)
  }

  try {
    noteFull(0)
    for (let index = 0; index < geometry.segmentCount; index++) {
      const length = segmentLength(geometry, index) + TAG_LENGTH
      // A new buffer only when at most one is held.
      yield* handOver(1)
      const fits = writer.room() >= length
      // The segment fills this one and begins another.
      if (!fits) yield* handOver(0)
      // The first that crosses is never shorter than the others.
      const place = fits ? writer.reserve(length) : (own ??= Buffer.allocUnsafeSlow(length)).subarray(0, length)
      const data = place.subarray(0, length - TAG_LENGTH)
      const filled = await o.filler.fill(data)
      o.check()
      if (filled < data.length) {
        const got = index * geometry.segmentSize + filled
        throw new FormatError('E_LENGTH', `the source gave ${got} bytes, not ${geometry.plaintextLength}`)
      }
      const segment = segmentToSeal(o, index, data, place.subarray(data.length))
      const crossing = fits ? undefined : writer.reserveAcross(length)
      window.add({ segment, place, crossing })
      if (fits || crossing) {
        noteFull(index + 1)
        if (window.size >= SEALED_AT_ONCE) await settle()
        continue
      }
      // It reaches over more than two buffers: sealed first, then cut.
      window.flush()
      while (window.size > 0) await settle()
      for (let at = 0; at < length;) {
        const take = Math.min(writer.room(), length - at)
        writer.write(place.subarray(at, at + take))
        at += take
        noteFull(settled)
        yield* handOver(0)
      }
    }
    window.flush()
    yield* handOver(0)
    while (window.size > 0) await settle()
    if ((await o.filler.fill(Buffer.alloc(1))) > 0) {
      throw new FormatError('E_LENGTH', `the source gave more than ${geometry.plaintextLength} bytes`)
    }
    o.check()
    const { plaintextLength, segmentCount, objectLength } = geometry
    const tagsDigest = tags.digest()
    const trailer = encodeTrailer(o.signingKey, o.htag, { plaintextLength, segmentCount, tagsDigest })
    writer.write(trailer)
    sealed = true
    const fmac = Buffer.from(trailer.subarray(64))
    return { plaintextLength, objectLength, segmentCount, tagsDigest, fmac, htag: o.htag }
  } finally {
    await window.end()
    if (!sealed) {
      own?.fill(0)
      writer.wipe()
    }
    await o.filler.close()
  }
}

function scatter(bytes: Buffer, places: readonly Buffer[]): void {
  let at = 0
  for (const place of places) at += bytes.copy(place, 0, at, at + place.length)
}

function segmentToSeal(o: KernelSealing, index: number, data: Buffer, tag: Buffer): Segment {
  const { geometry, suite, dataKey, signingKey } = o
  return {
    operation: 'seal',
    data,
    tag,
    keys: () => {
      secrets.assertHeld(signingKey)
      secrets.assertHeld(dataKey)
      return {
        macKey: signingKey,
        prefix: segmentPrefix(o.htag, index, data.length, isFinal(geometry, index)),
        cipher: {
          key: aesKeyOf(suite, dataKey),
          counter: initialCounterOf(suite, dataKey),
          block: (index * geometry.segmentSize) / 16,
        },
      }
    },
  }
}
