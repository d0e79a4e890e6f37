/** The state of the queue. */
export type QueueState =
  /** No work is expected: the queue is paused or limited, a breaker is open, the worker drains. */
  | 'held'
  /** Redis did not answer. */
  | 'unknown'
  /** Number of jobs that wait to be taken. */
  | { readonly waiting: number }

export interface Sample {
  readonly now: number
  /** Time of the last progress. */
  readonly movedAt: number
  /** Jobs in progress in this process. */
  readonly active: number
  readonly look: QueueState
}

/** A worker that makes no progress while there is work. */
export interface Stall {
  readonly stillMs: number
  readonly active: number
  readonly waiting: number
}

/**
 * Decides when a worker has stalled: no progress for `limitMs`, while every sample found work and no reason not to do
 * it. Without clock or I/O; times are milliseconds that only go forward.
 *
 * The timer resets when there is a reason to be idle: no jobs, intake paused, Redis unreachable. It also resets when a
 * sample comes much too late, since then the process itself was stopped.
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
