/** A bucket of tokens that fills at a rate and may go into debt: what follows waits until it is paid. */
interface Bucket {
  level: number
  at: number
}

/** Buckets of callers who were not seen for a minute are full, and forgotten. */
const FORGET_MS = 60_000

/**
 * What each caller may use a second. A debt is allowed because the bytes of a download are known when they are sent.
 */
export class Budget {
  readonly #buckets = new Map<string, Bucket>()
  readonly #perSecond: number
  readonly #burst: number
  #swept = performance.now()

  constructor(perSecond: number, burst: number) {
    this.#perSecond = perSecond
    this.#burst = burst
  }

  /** Seconds until `caller` may act again; 0: now. Takes nothing. */
  waitOf(caller: string): number {
    const { level } = this.#bucket(caller)
    return level >= 1 ? 0 : Math.max(1, Math.ceil((1 - level) / this.#perSecond))
  }

  /** Takes `amount`, into debt if need be. */
  take(caller: string, amount: number): void {
    this.#bucket(caller).level -= amount
  }

  #bucket(caller: string): Bucket {
    const now = performance.now()
    this.#sweep(now)
    const bucket = this.#buckets.get(caller) ?? { level: this.#burst, at: now }
    bucket.level = Math.min(this.#burst, bucket.level + ((now - bucket.at) / 1_000) * this.#perSecond)
    bucket.at = now
    this.#buckets.set(caller, bucket)
    return bucket
  }

  #sweep(now: number): void {
    if (now - this.#swept < FORGET_MS) return
    this.#swept = now
    for (const [caller, { at, level }] of this.#buckets)
      if (now - at > FORGET_MS && level >= 0) this.#buckets.delete(caller)
  }
}
