/** Why a token can't serve: its breaker is open, no agent of it is ready, or it lets no one in. */
export type Outage = 'breaker' | 'agents' | 'denied'

/** Why another token serves from now on. `start`: the primary was not there when the pool was opened. */
export type FailoverReason = Outage | 'start' | 'returned'

export interface Switch {
  readonly from: number
  readonly to: number
  readonly reason: FailoverReason
}

const PASSES = 3

/**
 * Which of several tokens that hold the same keys serves. FailoverPool are numbered by preference, 0 is the *primary*. A plain
 * state machine: no clock, no timer, no I/O.
 *
 * A token serves until it can't; then the most preferred one that can takes over, and keeps serving until it can't either,
 * or until a more preferred one has passed three probes in a row. When none can, nothing changes.
 */
export class FailoverPolicy {
  readonly #passes: number[]
  #active = 0
  #outages: readonly (Outage | undefined)[]

  constructor(tokens: number) {
    this.#passes = Array.from({ length: tokens }, () => 0)
    this.#outages = this.#passes.map(() => undefined)
  }

  get active(): number {
    return this.#active
  }

  /** How the tokens are now, by number; undefined: it can serve. Returns the switch that follows from it, if one does. */
  look(outages: readonly (Outage | undefined)[], opening = false): Switch | undefined {
    this.#outages = outages
    for (const [index, outage] of outages.entries()) if (outage !== undefined) this.#passes[index] = 0
    const outage = outages[this.#active]
    if (outage === undefined) return undefined
    const next = outages.findIndex((other) => other === undefined)
    return next < 0 ? undefined : this.#switch(next, opening ? 'start' : outage)
  }

  /** A round of probes on a token ended. Returns the switch to it when that was the third good one in a row. */
  probed(index: number, passed: boolean): Switch | undefined {
    this.#passes[index] = passed ? (this.#passes[index] ?? 0) + 1 : 0
    const preferred = index < this.#active && this.#outages[index] === undefined
    return preferred && (this.#passes[index] ?? 0) >= PASSES ? this.#switch(index, 'returned') : undefined
  }

  #switch(to: number, reason: FailoverReason): Switch {
    const from = this.#active
    this.#active = to
    this.#passes.fill(0)
    return { from, to, reason }
  }
}
