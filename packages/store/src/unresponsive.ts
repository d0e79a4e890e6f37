import type { Unresponsive } from './types.js'

/** Between two words on a silence that goes on, milliseconds. */
const AGAIN_MS = 15_000

/** A question that the store has not answered; `end` it when it has, or when no one waits any more. */
export interface Question {
  end(heard: 'answer' | 'nothing'): void
}

const UNWATCHED: Question = { end: () => undefined }

interface Asked {
  readonly what: string
  readonly at: number
  readonly givesUpAt: number
}

/**
 * Says so when the store was asked and nothing at all has come from it for a while; again now and then as long as that lasts;
 * and once more when it answers. Costs nothing without a listener.
 */
export class UnresponsiveMonitor implements Disposable {
  readonly #afterMs: number
  readonly #listener: ((silence: Unresponsive | null) => void) | undefined
  readonly #asked = new Set<Asked>()
  #heardAt = -Infinity
  #told = false
  #timer: NodeJS.Timeout | undefined

  constructor(afterMs: number, listener: ((silence: Unresponsive | null) => void) | undefined) {
    this.#afterMs = afterMs
    this.#listener = listener
  }

  /** @param limitMs after which anyone who asks gives up */
  ask(what: string, limitMs: number): Question {
    if (this.#listener === undefined) return UNWATCHED
    const at = performance.now()
    const asked: Asked = { what, at, givesUpAt: at + limitMs }
    this.#asked.add(asked)
    if (this.#asked.size === 1) this.#look(this.#afterMs)
    return {
      end: (heard) => {
        if (!this.#asked.delete(asked)) return
        if (heard === 'answer') this.#hear()
        if (this.#asked.size === 0) clearTimeout(this.#timer)
      },
    }
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer)
    this.#asked.clear()
  }

  #hear(): void {
    this.#heardAt = performance.now()
    if (!this.#told) return
    this.#told = false
    this.#listener?.(null)
    this.#look(this.#afterMs)
  }

  #look(inMs: number): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#tell(), inMs).unref()
  }

  /** The oldest question is what counts; an answer to any of them shows that someone is there. */
  #tell(): void {
    const [oldest] = this.#asked
    if (oldest === undefined) return
    const now = performance.now()
    const silentMs = now - Math.max(this.#heardAt, oldest.at)
    if (silentMs < this.#afterMs) return this.#look(this.#afterMs - silentMs)
    this.#told = true
    this.#listener?.({ what: oldest.what, silentMs, givesUpInMs: Math.max(0, oldest.givesUpAt - now) })
    this.#look(AGAIN_MS)
  }
}
