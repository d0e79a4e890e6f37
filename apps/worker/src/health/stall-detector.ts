/** What a look at the queue found. */
export type QueueState =
  /** No one is meant to work: the queue is paused or limited, a breaker is open, the worker drains. */
  | 'held'
  /** Redis did not say. */
  | 'unknown'
  /** So many jobs wait to be taken. */
  | { readonly waiting: number }

export interface Sample {
  readonly now: number
  /** When something last moved. */
  readonly movedAt: number
  /** Jobs under way in this process. */
  readonly active: number
  readonly look: QueueState
}

/** A worker that stands still while there is work. */
export interface Stall {
  readonly stillMs: number
  readonly active: number
  readonly waiting: number
}

/**
 * Decides when a worker stands still: nothing has moved for `limitMs`, and all that time every look found work and no reason
 * not to do it. Without clock or I/O; times are milliseconds that only go forward.
 *
 * An excuse sets the clock back to zero: no jobs, an intake that is held, a Redis that can't be asked. So does a look that
 * comes much too late, since then this process itself was stopped, and the standing still was not its doing.
 */
export class StallDetector {
  readonly #limitMs: number
  readonly #everyMs: number
  #excusedAt: number
  #lookedAt: number

  constructor(options: { readonly limitMs: number; readonly everyMs: number; readonly now: number }) {
    this.#limitMs = options.limitMs
    this.#everyMs = options.everyMs
    this.#excusedAt = options.now
    this.#lookedAt = options.now
  }

  see({ now, movedAt, active, look }: Sample): Stall | undefined {
    const stopped = now - this.#lookedAt > 3 * this.#everyMs
    this.#lookedAt = now
    const idle = typeof look === 'object' && look.waiting === 0 && active === 0
    if (stopped || typeof look === 'string' || idle) {
      this.#excusedAt = now
      return undefined
    }
    const stillMs = now - Math.max(movedAt, this.#excusedAt)
    return stillMs < this.#limitMs ? undefined : { stillMs, active, waiting: look.waiting }
  }
}
