/** So many operations within so long are a load that is worth a lane: 1,000 a second. */
const SAMPLE = 256
const SAMPLE_MS = 256
/** Calls that take longer than this are better made side by side by libuv's threads: to hand one over costs half of it. */
const SLOW_MICROS = 100
/** Half of the last calls or so must be slow: one says little, the operating system may have taken the thread off its core. */
const WEIGHT = 1 / 16
const MOST_SLOW = 1 / 2
const FIRST_PAUSE_MS = 1_000
const LONGEST_PAUSE_MS = 64_000
/** Having been used for so long, the lane is tried again soon. */
const STEADY_MS = 10_000

/**
 * When derivations take the lane: under a load of many a second, of a token that answers each within microseconds. Where
 * they turn out to take longer, or fail, they don't, for a pause that doubles each time.
 */
export class LanePace {
  readonly #now: () => number
  #on = false
  #onSince = 0
  #counted = 0
  #countedSince: number
  /** Share of slow calls, the latest counting most. */
  #slow = 0
  #pauseMs = FIRST_PAUSE_MS
  #pausedUntil = -Infinity

  constructor(now: () => number) {
    this.#now = now
    this.#countedSince = now()
  }

  get on(): boolean {
    return this.#on
  }

  /** Counts an operation; true when it is to take the lane. */
  count(): boolean {
    this.#counted += 1
    if (this.#counted < SAMPLE) return this.#on
    const now = this.#now()
    const busy = now - this.#countedSince <= SAMPLE_MS
    this.#counted = 0
    this.#countedSince = now
    if (!busy) this.#on = false
    else if (!this.#on && now >= this.#pausedUntil) {
      this.#on = true
      this.#onSince = now
      this.#slow = 0
    }
    return this.#on
  }

  /** A call on the lane took so long. */
  took(micros: number): void {
    this.#slow += ((micros > SLOW_MICROS ? 1 : 0) - this.#slow) * WEIGHT
    if (this.#slow > MOST_SLOW) this.leave()
  }

  /** A call on the lane failed, or does not come back. */
  leave(): void {
    if (!this.#on) return
    const now = this.#now()
    this.#on = false
    if (now - this.#onSince >= STEADY_MS) this.#pauseMs = FIRST_PAUSE_MS
    this.#pausedUntil = now + this.#pauseMs
    this.#pauseMs = Math.min(LONGEST_PAUSE_MS, 2 * this.#pauseMs)
  }
}
