const BURST = 3

/** Three restarts at once, then one per interval: a token bucket. */
export class RestartBudget {
  readonly #intervalMs: number
  readonly #now: () => number
  #tokens = BURST
  #refilledAt: number

  constructor(intervalMs: number, now: () => number) {
    this.#intervalMs = intervalMs
    this.#now = now
    this.#refilledAt = now()
  }

  /** Takes a restart if one is allowed now. */
  take(): boolean {
    const earned = Math.floor((this.#now() - this.#refilledAt) / this.#intervalMs)
    if (earned > 0) {
      this.#tokens = Math.min(BURST, this.#tokens + earned)
      this.#refilledAt += earned * this.#intervalMs
    }
    if (this.#tokens === 0) return false
    if (this.#tokens === BURST) this.#refilledAt = this.#now()
    this.#tokens -= 1
    return true
  }
}
