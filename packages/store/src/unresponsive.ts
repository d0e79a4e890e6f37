import type { Unresponsive } from './types.js'

/** Milliseconds between two reports while a silence lasts. */
const AGAIN_MS = 15_000

/** A request that the store has not answered; call `end` when it has, or when no caller waits any more. */
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
 * Reports when a request is pending and the store has sent nothing at all for a while; again at intervals while that
 * lasts; and once more when the store answers. Costs nothing without a listener.
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

  /** @param limitMs after which the request is given up */
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

  /** The oldest request counts; an answer to any of them shows that the store is alive. */
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
