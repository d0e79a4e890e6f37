import { MultiBar, Presets, type SingleBar } from 'cli-progress'
import type { Io } from '../io.js'
import { printable } from './printable.js'
import { Pace } from './pace.js'
import { humanSize } from './units.js'

/** Shows progress: bars on a terminal's stderr, a plain line at intervals elsewhere, or nothing. */
export interface Progress {
  /** `done` of `total` bytes of the item; the first call makes its bar */
  update(item: string, done: number, total: number): void
  /** the item has ended; `line` is its outcome, shown where there are no bars */
  finish(item: string, bytes: number, line: string): void
  /** prints a line between bars or lines */
  note(text: string): void
  /** stops timers; the total bar stays, full when all items ended. No update may follow. May be called repeatedly. */
  stop(): void
}

export interface ProgressOptions {
  /** the noun that the total bar shows */
  readonly noun: string
  readonly items: number
  readonly totalBytes: number
  readonly quiet: boolean
}

const BARS = 5
const LINE_EVERY_MS = 5_000
/** off a terminal, more items than this are summarised instead of listed */
const LIST_AT_MOST = 50

export function createProgress(io: Io, o: ProgressOptions): Progress {
  if (o.quiet) return { update() {}, finish() {}, note() {}, stop() {} }
  return io.stderr.isTTY === true ? new Bars(io, o) : new Lines(io, o)
}

class Bars implements Progress {
  readonly #bars: MultiBar
  readonly #total: SingleBar
  readonly #items = new Map<string, { bar: SingleBar | undefined; done: number }>()
  readonly #o: ProgressOptions
  readonly #pace: Pace
  #finishedBytes = 0
  #finished = 0
  #stopped = false

  constructor(io: Io, o: ProgressOptions) {
    this.#o = o
    this.#pace = new Pace(o.totalBytes)
    this.#bars = new MultiBar(
      {
        format: '{bar} {percentage}% {amount} {name}',
        formatValue: (value, _options, type) => (type === 'percentage' ? String(value).padStart(3) : String(value)),
        stream: io.stderr,
        barsize: 28,
        hideCursor: true,
        clearOnComplete: false,
        gracefulExit: false,
        linewrap: false,
        emptyOnZero: true,
        fps: 8,
      },
      Presets.shades_classic,
    )
    this.#total = this.#bars.create(Math.max(1, o.totalBytes), 0, { name: '', amount: '' })
    this.#render()
  }

  update(item: string, done: number, total: number): void {
    const known = this.#items.get(item) ?? { bar: undefined, done: 0 }
    known.done = done
    const shown = [...this.#items.values()].filter(({ bar }) => bar !== undefined).length
    if (known.bar === undefined && shown < BARS && this.#o.items > 1) {
      known.bar = this.#bars.create(Math.max(1, total), done, { name: printable(item), amount: '' })
    }
    known.bar?.update(done, { amount: amount(done, total) })
    this.#items.set(item, known)
    this.#render()
  }

  finish(item: string, bytes: number): void {
    const bar = this.#items.get(item)?.bar
    if (bar) this.#bars.remove(bar)
    this.#items.delete(item)
    this.#finished += 1
    this.#finishedBytes += bytes
    this.#render()
  }

  note(text: string): void {
    this.#bars.log(`${text}\n`)
    this.#bars.update()
  }

  stop(): void {
    if (this.#stopped) return
    this.#stopped = true
    for (const { bar } of this.#items.values()) if (bar) this.#bars.remove(bar)
    this.#items.clear()
    this.#render()
    this.#bars.stop()
  }

  #render(): void {
    const { items, noun, totalBytes } = this.#o
    let done = this.#finishedBytes
    for (const item of this.#items.values()) done += item.done
    const all = Math.max(1, totalBytes)
    // Sizes may have changed meanwhile: an ended item is shown as full.
    const over = this.#finished >= items || (items === 1 && done >= totalBytes)
    this.#total.update(over ? all : Math.min(done, all), {
      name: `${this.#finished}/${items} ${noun}, ${this.#pace.text(done)}`,
      amount: amount(done, totalBytes),
    })
  }
}

function amount(done: number, total: number): string {
  return `${humanSize(done).padStart(10)} / ${humanSize(total).padEnd(10)}`
}

class Lines implements Progress {
  readonly #io: Io
  readonly #o: ProgressOptions
  readonly #running = new Map<string, number>()
  readonly #pace: Pace
  #finished = 0
  #finishedBytes = 0
  #lastLine = performance.now()

  constructor(io: Io, o: ProgressOptions) {
    this.#io = io
    this.#o = o
    this.#pace = new Pace(o.totalBytes)
  }

  update(item: string, done: number): void {
    this.#running.set(item, done)
    this.#now(false)
  }

  finish(item: string, bytes: number, line: string): void {
    this.#running.delete(item)
    this.#finished += 1
    this.#finishedBytes += bytes
    if (this.#o.items <= LIST_AT_MOST) this.#io.stderr.write(`${line}\n`)
    else this.#now(this.#finished === this.#o.items)
  }

  note(text: string): void {
    this.#io.stderr.write(`${text}\n`)
  }

  stop(): void {
    this.#running.clear()
  }

  #now(always: boolean): void {
    const now = performance.now()
    if (!always && now - this.#lastLine < LINE_EVERY_MS) return
    this.#lastLine = now
    let done = this.#finishedBytes
    for (const bytes of this.#running.values()) done += bytes
    const part = `${humanSize(done)} of ${humanSize(this.#o.totalBytes)}`
    const line = `${this.#finished}/${this.#o.items} ${this.#o.noun}, ${part}, ${this.#pace.text(done)}`
    this.#io.stderr.write(`${line}\n`)
  }
}
