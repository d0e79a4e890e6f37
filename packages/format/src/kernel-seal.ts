/**
 * Sealing with the native kernel, for a plaintext of known length: it is read into the object's own buffers and encrypted
 * there, several segments at once. A buffer is yielded only when all of it is ciphertext.
 *
 * A segment that crosses the end of a buffer is sealed in a buffer of its own, and copied: so no more than one of the
 * object's buffers is held at a time, however short they are.
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
import { SegmentWindow, segmentsAtOnce } from './segment-window.js'
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
}

/**
 * Yields the object's buffers, but for the last, which is left in the writer, and returns the result. When it has ended,
 * on any path, no thread uses a buffer or a key any more, and what was not yielded is wiped unless all went well.
 */
export async function* sealWithKernel(o: KernelSealing): AsyncGenerator<Buffer, SealResult, void> {
  const { geometry, writer } = o
  const window = new SegmentWindow<Sealing>(o.kernel)
  const most = segmentsAtOnce(geometry.segmentSize)
  const tags = createHash('sha256')
  let own: Buffer | undefined
  let sealed = false

  const settle = async (): Promise<void> => {
    const next = await window.next()
    if (next === undefined) return
    o.check()
    if (!next.authentic) throw new Error('the kernel did not seal a segment')
    tags.update(next.work.segment.tag)
  }
  const settleAll = async (): Promise<void> => {
    window.flush()
    while (window.size > 0) await settle()
  }

  /** Buffers that are full of ciphertext. */
  function* ready(): Generator<Buffer, void, void> {
    for (let buffer = writer.take(); buffer; buffer = writer.take()) {
      yield buffer
      o.check()
    }
  }

  try {
    yield* ready()
    for (let index = 0; index < geometry.segmentCount; index++) {
      const length = segmentLength(geometry, index)
      const fits = writer.room() >= length + TAG_LENGTH
      // The first is never shorter than the others.
      const place = fits
        ? writer.reserve(length + TAG_LENGTH)
        : (own ??= Buffer.allocUnsafeSlow(length + TAG_LENGTH)).subarray(0, length + TAG_LENGTH)
      const data = place.subarray(0, length)
      const filled = await o.filler.fill(data)
      o.check()
      if (filled < length) {
        const got = index * geometry.segmentSize + filled
        throw new FormatError('E_LENGTH', `the source gave ${got} bytes, not ${geometry.plaintextLength}`)
      }
      window.add({ segment: segmentToSeal(o, index, data, place.subarray(length)) })
      if (fits && writer.fullCount === 0) {
        if (window.size >= most) await settle()
        continue
      }
      await settleAll()
      for (let at = 0; !fits && at < place.length;) {
        const take = Math.min(writer.room(), place.length - at)
        writer.write(place.subarray(at, at + take))
        at += take
        yield* ready()
      }
      yield* ready()
    }
    await settleAll()
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
