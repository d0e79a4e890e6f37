/**
 * Part buffers of one attempt, used again once the store has settled the request that carried them.
 *
 * Fresh multi-megabyte buffers cost page faults and depend on the garbage collector: with a pool the resident size can
 * be computed. A buffer comes back only from `release`, never by guess, since a request that is being retried still
 * needs its bytes.
 */
export class PartPool {
  readonly size: number
  readonly #idle: Buffer[] = []
  readonly #out = new Set<ArrayBufferLike>()

  constructor(size: number) {
    this.size = size
  }

  /** A buffer of exactly `size` bytes; its content is arbitrary. A smaller request gets a buffer of its own. */
  allocate(size: number): Buffer {
    if (size !== this.size) return Buffer.allocUnsafeSlow(size)
    const buffer = this.#idle.pop() ?? Buffer.allocUnsafeSlow(size)
    this.#out.add(buffer.buffer)
    return buffer
  }

  /** Takes a buffer back. One that is not this pool's, or already back, is ignored. */
  release(part: Uint8Array): void {
    if (!this.#out.delete(part.buffer)) return
    this.#idle.push(Buffer.from(part.buffer, 0, this.size))
  }
}
