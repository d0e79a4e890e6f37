/**
 * Cuts a stream of writes into buffers of exactly one size, so that a multipart upload copies nothing. Written bytes
 * can be held back (a segment's ciphertext is read again for its tag): a buffer is handed out only when none of its
 * bytes is held, and is never touched afterwards.
 */
export type Allocate = (size: number) => Buffer

export class ChunkWriter {
  readonly #chunkSize: number
  readonly #allocate: Allocate
  /** Bytes still to come, if known: then the last buffer is no longer than necessary. */
  #expected: number | null
  #current: Buffer | null = null
  #used = 0
  readonly #full: Buffer[] = []

  constructor(chunkSize: number, allocate: Allocate, expectedLength: number | null) {
    if (!Number.isSafeInteger(chunkSize) || chunkSize < 1) throw new RangeError('chunkSize must be a whole number ≥ 1')
    this.#chunkSize = chunkSize
    this.#allocate = allocate
    this.#expected = expectedLength
  }

  /** Copies bytes in and returns their new place: views on at most a few buffers. */
  write(bytes: Uint8Array): Buffer[] {
    const views: Buffer[] = []
    for (let at = 0; at < bytes.length;) {
      const take = Math.min(bytes.length - at, this.room())
      const place = this.#advance(take)
      place.set(take === bytes.length ? bytes : bytes.subarray(at, at + take))
      views.push(place)
      at += take
    }
    return views
  }

  /** Bytes left in the buffer that is being filled; allocates the next one when there is none. */
  room(): number {
    this.#current ??= this.#next()
    return this.#current.length - this.#used
  }

  /**
   * The next `length` bytes, as a place for the caller to write to; they must fit into `room()`. The buffer must not be
   * taken before they are written.
   */
  reserve(length: number): Buffer {
    if (length > this.room()) throw new RangeError('what is reserved lies in one buffer')
    return this.#advance(length)
  }

  /**
   * As `reserve`, for what may begin in this buffer and end in the next: a place in each. Undefined, with nothing
   * reserved, when it needs more buffers than these two.
   */
  reserveAcross(length: number): Buffer[] | undefined {
    const here = this.room()
    if (length <= here) return [this.#advance(length)]
    if (length - here > this.#nextLength()) return undefined
    return [this.#advance(here), this.#advance(length - here)]
  }

  /** Fills all that was not taken yet with zeros: it may hold plaintext. */
  wipe(): void {
    for (const chunk of this.#full) chunk.fill(0)
    this.#current?.fill(0, 0, this.#used)
  }

  get fullCount(): number {
    return this.#full.length
  }

  /** The oldest full buffer, if there is one. */
  take(): Buffer | undefined {
    return this.#full.shift()
  }

  /** The rest, shorter than a chunk; undefined when there is none. */
  takeLast(): Buffer | undefined {
    const last = this.#current?.subarray(0, this.#used)
    this.#current = null
    this.#used = 0
    return last
  }

  #advance(length: number): Buffer {
    const chunk = (this.#current ??= this.#next())
    const place = chunk.subarray(this.#used, this.#used + length)
    this.#used += length
    if (this.#used === chunk.length) {
      this.#full.push(chunk)
      this.#current = null
      this.#used = 0
    }
    return place
  }

  #next(): Buffer {
    const size = this.#nextLength()
    if (this.#expected !== null) this.#expected -= size
    const buffer = this.#allocate(size)
    if (buffer.length !== size) throw new TypeError(`allocate(${size}) gave a buffer of ${buffer.length} bytes`)
    return buffer
  }

  #nextLength(): number {
    return this.#expected === null ? this.#chunkSize : Math.min(this.#chunkSize, this.#expected)
  }
}
