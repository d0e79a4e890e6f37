/**
 * One pass over the plaintext: encrypt, tag, digest (docs/design/format.md §4). Ciphertext goes straight into the buffers of
 * the object; a segment's tag follows at once when the plaintext's length is known, else when the segment is complete.
 */
import { createHash } from 'node:crypto'
import type { ChunkWriter } from './chunks.js'
import { FormatError } from './errors.js'
import { type Keystream, SLICE_LENGTH } from './keystream.js'
import { release } from './release.js'
import { SegmentMac } from './segment.js'
import { MAX_PLAINTEXT_LENGTH, objectLength, segmentCount, segmentSize } from './sizes.js'
import { encodeTrailer } from './trailer.js'

export interface SealResult {
  readonly plaintextLength: number
  readonly objectLength: number
  readonly segmentCount: number
  readonly tagsDigest: Buffer
  readonly fmac: Buffer
  readonly htag: Buffer
}

/** The state of one pass: the current segment, its tag, and the digest of all tags. */
export class SealingPass {
  readonly #writer: ChunkWriter
  readonly #keystream: Keystream
  readonly #signingKey: Buffer
  readonly #htag: Buffer
  readonly #segLog2: number
  readonly #segmentSize: number
  readonly #declared: number | undefined
  readonly #tags = createHash('sha256')
  #mac: SegmentMac | null = null
  /** Ciphertext of the current segment that is not in its tag yet: its length and finality must be known first. */
  #unread: Buffer[] = []
  /** Full buffers without unread bytes, although the current segment has begun. */
  #free = 0
  #index = 0
  #filled = 0
  #length = 0

  constructor(
    writer: ChunkWriter,
    keystream: Keystream,
    signingKey: Buffer,
    htag: Buffer,
    segLog2: number,
    declared: number | undefined,
  ) {
    this.#writer = writer
    this.#keystream = keystream
    this.#signingKey = signingKey
    this.#htag = htag
    this.#segLog2 = segLog2
    this.#segmentSize = segmentSize(segLog2)
    this.#declared = declared
  }

  /** Encrypts a slice of `chunk` from `at` on and returns its length in bytes (≥ 1). */
  absorb(chunk: Uint8Array, at: number): number {
    if (this.#filled === this.#segmentSize) this.#closeSegment(false)
    const take = Math.min(SLICE_LENGTH, chunk.length - at, this.#segmentSize - this.#filled)
    this.#length += take
    if (this.#length > (this.#declared ?? MAX_PLAINTEXT_LENGTH)) {
      throw new FormatError('E_LENGTH', `the source gave more than ${this.#declared ?? MAX_PLAINTEXT_LENGTH} bytes`)
    }
    const slice = at === 0 && take === chunk.length ? chunk : chunk.subarray(at, at + take)
    const ciphertext = this.#keystream.apply(slice)
    this.#unread.push(...this.#writer.write(ciphertext))
    release(ciphertext)
    this.#filled += take
    if (this.#declared !== undefined) this.#feed(this.#declared)
    return take
  }

  /** A full buffer that may be yielded. */
  ready(): Buffer | undefined {
    if (this.#unread.length > 0 && this.#free === 0) return undefined
    if (this.#free > 0) this.#free -= 1
    return this.#writer.take()
  }

  /** Closes the last segment and writes the trailer. */
  end(): SealResult {
    if (this.#declared !== undefined && this.#length !== this.#declared) {
      throw new FormatError('E_LENGTH', `the source gave ${this.#length} bytes, not ${this.#declared}`)
    }
    this.#closeSegment(true)
    const plaintextLength = this.#length
    const count = segmentCount(plaintextLength, this.#segLog2)
    if (count !== this.#index) throw new Error('the number of segments is not what the length asks for')
    const tagsDigest = this.#tags.digest()
    const trailer = encodeTrailer(this.#signingKey, this.#htag, { plaintextLength, segmentCount: count, tagsDigest })
    this.#writer.write(trailer)
    return {
      plaintextLength,
      objectLength: objectLength(plaintextLength, this.#segLog2),
      segmentCount: count,
      tagsDigest,
      fmac: Buffer.from(trailer.subarray(64)),
      htag: this.#htag,
    }
  }

  /** Ends cipher and HMAC on every path. */
  finish(): void {
    this.#unread = []
    this.#keystream.finish()
    this.#mac?.finish()
  }

  /** With L known, length and finality of the current segment are known too, and its tag can follow at once. */
  #feed(plaintextLength: number): void {
    const start = this.#index * this.#segmentSize
    const length = Math.min(this.#segmentSize, plaintextLength - start)
    this.#read(length, start + length === plaintextLength)
  }

  #read(length: number, final: boolean): SegmentMac {
    const mac = (this.#mac ??= new SegmentMac(this.#signingKey, this.#htag, this.#index, length, final))
    for (const piece of this.#unread) mac.update(piece)
    this.#unread = []
    return mac
  }

  #closeSegment(final: boolean): void {
    const tag = this.#read(this.#filled, final).digest()
    this.#mac = null
    this.#tags.update(tag)
    this.#writer.write(tag)
    this.#free = this.#writer.fullCount
    this.#index += 1
    this.#filled = 0
  }
}
