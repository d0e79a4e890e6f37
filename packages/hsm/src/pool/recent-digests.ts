/** A bounded map of digests; the oldest entries are dropped. */
export class RecentDigests {
  readonly #limit: number
  readonly #entries = new Map<string, string>()

  constructor(limit: number) {
    this.#limit = limit
  }

  get size(): number {
    return this.#entries.size
  }

  get(digest: string): string | undefined {
    return this.#entries.get(digest)
  }

  set(digest: string, source: string): void {
    this.#entries.set(digest, source)
    if (this.#entries.size <= this.#limit) return
    const oldest = this.#entries.keys().next()
    if (oldest.done !== true) this.#entries.delete(oldest.value)
  }

  clear(): void {
    this.#entries.clear()
  }
}
