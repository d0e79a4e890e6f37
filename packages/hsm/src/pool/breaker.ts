export type BreakerState = 'closed' | 'open' | 'half-open'

const IN_A_ROW = 5
const WINDOW_S = 10
/** The window decides nothing until this number of operations has ended in it. */
const WINDOW_MIN = 10
const HALF_OPEN_AFTER_MS = 2_000

/**
 * Opens after 5 infrastructure failures in a row, or when half of the last 10 s failed. While it is open, the token
 * gets one probe at a time and nothing else (`half-open`); a successful probe closes it. Failures of one record don't
 * count.
 */
export class TokenBreaker {
  #state: BreakerState = 'closed'
  #inARow = 0
  #openedAt = 0
  /** One entry a second, the youngest last. */
  #seconds: { readonly second: number; ok: number; failed: number }[] = []
  readonly #now: () => number
  readonly #onChange: (state: BreakerState) => void

  constructor(now: () => number, onChange: (state: BreakerState) => void) {
    this.#now = now
    this.#onChange = onChange
  }

  get state(): BreakerState {
    return this.#state
  }

  success(): void {
    this.#inARow = 0
    if (this.#state === 'closed') this.#record(true)
    else {
      this.#seconds = []
      this.#change('closed')
    }
  }

  failure(): void {
    this.#inARow += 1
    if (this.#state !== 'closed') {
      this.#openedAt = this.#now()
      if (this.#state === 'half-open') this.#change('open')
      return
    }
    this.#record(false)
    const ok = this.#seconds.reduce((sum, entry) => sum + entry.ok, 0)
    const failed = this.#seconds.reduce((sum, entry) => sum + entry.failed, 0)
    const half = ok + failed >= WINDOW_MIN && failed >= ok
    if (this.#inARow >= IN_A_ROW || half) {
      this.#openedAt = this.#now()
      this.#change('open')
    }
  }

  /**
   * True once per pause: the caller then probes and reports success or failure. `now` skips the wait (an agent is
   * back).
   */
  takeProbe(now = false): boolean {
    if (this.#state !== 'open' || (!now && this.#now() - this.#openedAt < HALF_OPEN_AFTER_MS)) return false
    this.#change('half-open')
    return true
  }

  #record(ok: boolean): void {
    const second = Math.floor(this.#now() / 1000)
    let last = this.#seconds.at(-1)
    if (last?.second !== second) {
      last = { second, ok: 0, failed: 0 }
      this.#seconds.push(last)
      while ((this.#seconds[0]?.second ?? second) <= second - WINDOW_S) this.#seconds.shift()
    }
    if (ok) last.ok += 1
    else last.failed += 1
  }

  #change(state: BreakerState): void {
    this.#state = state
    this.#onChange(state)
  }
}
