/** Why a token cannot serve: its breaker is open, none of its agents is ready, or it denies access. */
export type Outage = 'breaker' | 'agents' | 'denied'

/** Why another token serves from now on. `start`: the primary was not available when the pool was opened. */
export type FailoverReason = Outage | 'start' | 'returned'

export interface Switch {
  readonly from: number
  readonly to: number
  readonly reason: FailoverReason
}

const PASSES = 3

/**
 * Chooses which of several tokens with the same keys serves. Tokens are numbered by preference; 0 is the *primary*. A
 * plain state machine: no clock, no timer, no I/O.
 *
 * A token serves until it cannot. Then the most preferred token that can serve takes over. It serves until it cannot
 * either, or until a more preferred token has passed three probes in a row. When no token can serve, nothing changes.
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

  /** Takes the state of each token, by number (undefined: it can serve). Returns the switch that follows, if any. */
  look(outages: readonly (Outage | undefined)[], opening = false): Switch | undefined {
    this.#outages = outages
    for (const [index, outage] of outages.entries()) if (outage !== undefined) this.#passes[index] = 0
    const outage = outages[this.#active]
    if (outage === undefined) return undefined
    const next = outages.findIndex((other) => other === undefined)
    return next < 0 ? undefined : this.#switch(next, opening ? 'start' : outage)
  }

  /** Records a round of probes on a token. Returns the switch to that token after its third good round in a row. */
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
