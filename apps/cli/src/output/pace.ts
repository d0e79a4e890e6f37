import { humanDuration, humanSize } from './units.js'

/** The window of the rate, milliseconds: the speed of an hour ago says little about the remaining time. */
const WINDOW_MS = 15_000
const SAMPLE_MS = 250

/** The rate of work of a known size, and the time left. */
export class Pace {
  readonly #total: number
  readonly #unit: string | undefined
  readonly #now: () => number
  readonly #began: number
  readonly #samples: { readonly at: number; readonly done: number }[] = []

  /** @param o.now milliseconds of a clock that never goes back; `unit`: what is counted, when not bytes; `done` at the beginning */
  constructor(total: number, o: { readonly now?: () => number; readonly unit?: string; readonly done?: number } = {}) {
    const { now = () => performance.now(), unit, done = 0 } = o
    this.#total = total
    this.#now = now
    this.#began = now()
    this.#unit = unit
    this.#samples.push({ at: this.#began, done })
  }

  get elapsedMs(): number {
    return this.#now() - this.#began
  }

  /** `12.3 MiB/s, 5.0 s, 10.0 s left`; without a rate while nothing has moved. @param total as it is now, when it grows */
  text(done: number, total = this.#total): string {
    const rate = this.#perSecond(done)
    const elapsed = humanDuration(this.elapsedMs)
    if (rate === undefined) return elapsed
    const left = done >= total ? '' : `, ${rate === 0 ? 'stalled' : `${timeLeft(total - done, rate)} left`}`
    const perSecond = this.#unit === undefined ? humanSize(Math.round(rate)) : `${rate.toFixed(1)} ${this.#unit}`
    return `${perSecond}/s, ${elapsed}${left}`
  }

  #perSecond(done: number): number | undefined {
    const at = this.#now()
    const last = this.#samples.at(-1)
    if (last === undefined || at - last.at >= SAMPLE_MS) this.#samples.push({ at, done })
    // One sample older than the window stays, so that the window is always covered.
    while ((this.#samples[1]?.at ?? at) < at - WINDOW_MS) this.#samples.shift()
    const [first] = this.#samples
    if (first === undefined || at - first.at < SAMPLE_MS || done === 0) return undefined
    return Math.max(0, (done - first.done) / ((at - first.at) / 1000))
  }
}

function timeLeft(rest: number, rate: number): string {
  return humanDuration((rest / rate) * 1000)
}
