/** Operations of one sample. A sample within SAMPLE_MS is a load that is worth a lane: 1,000 a second. */
const SAMPLE = 256
const SAMPLE_MS = 256
/**
 * Calls that take longer than this run better in parallel on libuv's threads: handing one over costs half of this time.
 */
const SLOW_MICROS = 100
/** About half of the last calls must be slow: a single slow one says little, the thread may have been descheduled. */
const WEIGHT = 1 / 16
const MOST_SLOW = 1 / 2
const FIRST_PAUSE_MS = 1_000
const LONGEST_PAUSE_MS = 64_000
/** After this time of use, the lane is soon tried again. */
const STEADY_MS = 10_000

/**
 * Decides when derivations take the lane: under a load of many a second, on a token that answers each within
 * microseconds. When they take longer there, or fail, the lane pauses; the pause doubles each time.
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

  /** Counts an operation; true when it should take the lane. */
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

  /** Records the duration of a call on the lane. */
  took(micros: number): void {
    this.#slow += ((micros > SLOW_MICROS ? 1 : 0) - this.#slow) * WEIGHT
    if (this.#slow > MOST_SLOW) this.leave()
  }

  /** Records that a call on the lane failed or does not return. */
  leave(): void {
    if (!this.#on) return
    const now = this.#now()
    this.#on = false
    if (now - this.#onSince >= STEADY_MS) this.#pauseMs = FIRST_PAUSE_MS
    this.#pausedUntil = now + this.#pauseMs
    this.#pauseMs = Math.min(LONGEST_PAUSE_MS, 2 * this.#pauseMs)
  }
}
