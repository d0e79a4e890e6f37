import { FAILURES, type Dependency, type FailureCode } from '@sealfleet/failures'

/** The dependencies that have a breaker. `process` has none: a stopping worker just stops. */
export type Guarded = Exclude<Dependency, 'process'>

export const GUARDED: readonly Guarded[] = ['hsm', 's3', 'database', 'redis', 'roots']

export interface BreakerOptions {
  /** uniform in [0, 1) */
  readonly random: () => number
}

/** Milliseconds between two probes: from `min` on, doubling up to `max`. */
const PAUSES = {
  /** an outage that ends by itself */
  transient: { min: 1_000, max: 30_000 },
  /** broken until a person repairs it: frequent probes do not help */
  broken: { min: 5_000, max: 60_000 },
} as const

/** Time without failures after which the pauses start small again, milliseconds. */
export const QUIET_MS = 60_000

/**
 * The breaker of one dependency, as a plain state machine without clock, timer or I/O. Times are milliseconds that only go
 * forward.
 *
 * *Closed*: jobs are taken. A failure opens it. *Open*: no jobs are taken; at `probeAt` the caller probes and reports
 * the outcome. A success closes it. The pauses before probes grow with each failed probe, and keep growing when it
 * opens again within a minute: a dependency that answers probes and fails jobs (its disk is full) must not make the
 * intake flap.
 */
export class Breaker {
  readonly #random: () => number
  #code: FailureCode | undefined
  #since = 0
  #probeAt = 0
  #step = 0
  #closedAt = -Infinity

  constructor(options: BreakerOptions) {
    this.#random = options.random
  }

  /** Why it is open and since when; undefined while it is closed. */
  get open(): { readonly code: FailureCode; readonly since: number } | undefined {
    return this.#code === undefined ? undefined : { code: this.#code, since: this.#since }
  }

  /** When to probe next; undefined while it is closed. */
  get probeAt(): number | undefined {
    return this.#code === undefined ? undefined : this.#probeAt
  }

  /** A job failed by this dependency. @returns whether that opened the breaker, or turned an outage into breakage */
  failed(code: FailureCode, now: number): boolean {
    if (this.#code !== undefined) return this.#worsened(code, now)
    this.#step = now - this.#closedAt < QUIET_MS ? this.#step + 1 : 0
    this.#code = code
    this.#since = now
    this.#wait(now)
    return true
  }

  /** @returns whether the probe turned an outage into breakage */
  probeFailed(code: FailureCode, now: number): boolean {
    if (this.#code === undefined) return false
    this.#step += 1
    if (this.#worsened(code, now)) return true
    this.#wait(now)
    return false
  }

  /** @returns milliseconds it was open; undefined when it was closed */
  probeSucceeded(now: number): number | undefined {
    if (this.#code === undefined) return undefined
    this.#code = undefined
    this.#closedAt = now
    return now - this.#since
  }

  #worsened(code: FailureCode, now: number): boolean {
    if (this.#code === undefined || isBroken(this.#code) || !isBroken(code)) return false
    this.#code = code
    this.#wait(now)
    return true
  }

  #wait(now: number): void {
    const { min, max } = PAUSES[this.#code !== undefined && isBroken(this.#code) ? 'broken' : 'transient']
    const ceiling = Math.min(max, 2 * min * 2 ** Math.min(this.#step, 20))
    this.#probeAt = now + (ceiling / 2) * (1 + this.#random())
  }
}

/** Whether a person has to repair it. */
export function isBroken(code: FailureCode): boolean {
  return FAILURES[code].policy.kind === 'pause'
}
