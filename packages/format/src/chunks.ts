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
      const chunk = (this.#current ??= this.#next())
      const take = Math.min(bytes.length - at, chunk.length - this.#used)
      chunk.set(take === bytes.length ? bytes : bytes.subarray(at, at + take), this.#used)
      views.push(chunk.subarray(this.#used, this.#used + take))
      at += take
      this.#used += take
      if (this.#used === chunk.length) {
        this.#full.push(chunk)
        this.#current = null
        this.#used = 0
      }
    }
    return views
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

  #next(): Buffer {
    const size = this.#expected === null ? this.#chunkSize : Math.min(this.#chunkSize, this.#expected)
    if (this.#expected !== null) this.#expected -= size
    const buffer = this.#allocate(size)
    if (buffer.length !== size) throw new TypeError(`allocate(${size}) gave a buffer of ${buffer.length} bytes`)
    return buffer
  }
}
