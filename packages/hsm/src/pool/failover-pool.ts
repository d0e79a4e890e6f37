import { setTimeout as delay } from 'node:timers/promises'

import { dedicatedCopy, wipe } from '@sealfleet/format'

import { HsmBusy, HsmError } from '../errors/hsm-error.js'
import type { HsmEvent } from '../events.js'
import type { Expect } from '../wire/messages.js'
import type { TokenPool } from './token-pool.js'
import { notConfirmed, notThere } from './failures.js'
import type { Submission } from './request-factory.js'
import type { AgentHandle } from './agent-handle.js'
import type { Clock } from './agent-connection.js'
import type { KeyCheck, Prober } from './probe.js'
import { FailoverPolicy, type Switch } from './failover-policy.js'

/** One token of the pool: its agents and what is known of its keys. */
export interface PoolToken {
  /** `primary`, `secondary-1`, … */
  readonly name: string
  readonly core: TokenPool
  readonly prober: Prober
}

export interface FailoverPoolOptions {
  readonly clock: Clock
  readonly deadlineMs: number
  readonly emit: (event: HsmEvent) => void
}

const DRAIN_MS = 5_000

/**
 * The tokens of a pool, in order of preference, all holding the same keys. One token serves. An operation that this
 * token fails runs again on another token, within the operation's deadline: deriving is deterministic and changes
 * nothing. A secondary uses a key only with a known check value, which its agents compare before the first use.
 */
export class FailoverPool {
  readonly list: readonly PoolToken[]
  readonly #options: FailoverPoolOptions
  readonly #choice: FailoverPolicy
  /** Labels of keys whose check value (or check record) is known. */
  readonly #known = new Set<string>()
  /** Until the start is decided, the pool does not leave the primary for a secondary that was quicker. */
  #started = false

  /** `open` makes one token's parts; `bound` must receive the check values that its agents found first. */
  constructor(
    count: number,
    open: (index: number, bound: (label: string, kcv: string) => void) => PoolToken,
    options: FailoverPoolOptions,
  ) {
    this.#options = options
    this.#choice = new FailoverPolicy(count)
    this.list = Array.from({ length: count }, (_, index) => {
      return open(index, (label, kcv) => {
        // Secondaries must have the values that the primary's agents saw first.
        this.#known.add(label)
        this.list.forEach(({ core }, other) => {
          if (other !== index) core.expectKey({ label, kcv })
        })
      })
    })
    if (count === 1) return
    this.list.forEach(({ prober }, index) => {
      prober.onRound = (checks, answered) => {
        this.#judge(index, checks, answered)
      }
    })
  }

  get active(): PoolToken {
    return this.#at(this.#choice.active)
  }

  /**
   * Starts the agents of all tokens. Resolves when the primary is ready or, if it does not start, the first secondary
   * that does; rejects with what kept the primary from starting.
   */
  async start(): Promise<void> {
    const starts = this.list.map(({ core }) =>
      core.start().then(
        () => undefined,
        (error: unknown) => error,
      ),
    )
    const failure = await starts[0]
    let serves = failure === undefined ? 0 : -1
    for (let index = 1; serves < 0 && index < starts.length; index += 1) {
      if ((await starts[index]) === undefined) serves = index
    }
    this.#started = true
    if (serves < 0) throw failure
    // A more preferred token that starts later may take over again: its probes count from now on.
    if (serves > 0) this.#became(this.#choice.look(this.#outages(), true))
  }

  expectKey(expected: Expect): void {
    this.#known.add(expected.label)
    for (const [index, { core }] of this.list.entries()) {
      // A copy of a key may have another CKA_ID; the check value identifies the key.
      core.expectKey(index === 0 ? expected : { ...expected, ckaId: undefined })
    }
  }

  /** Settles with the answer (dedicated bytes, the caller's to wipe) or an HsmError, or the signal's reason. */
  async submit(submission: Submission): Promise<Buffer> {
    if (this.list.length === 1) return this.active.core.submit(submission)
    const parts = submission.parts.map(dedicatedCopy)
    try {
      return await this.#run({ ...submission, parts })
    } finally {
      wipe(...parts)
    }
  }

  async #run(submission: Submission): Promise<Buffer> {
    const deadlineAt = this.#options.clock.now() + this.#options.deadlineMs
    const { label } = submission
    const tried = new Set<number>()
    let first: HsmError | undefined
    for (let index = this.#choice.active; ;) {
      tried.add(index)
      const { core } = this.#at(index)
      const moves = (error: HsmError) => isOutage(error, core) && this.#next(tried, label) !== undefined
      const elsewhere = () => this.#able(tried).some((other) => this.#at(other).prober.isRight(label))
      try {
        if (index > 0 && !this.#known.has(label)) throw notConfirmed(label)
        return await core.submit({
          ...submission,
          deadlineAt,
          failedOver: tried.size > 1,
          canFailOver: moves,
          otherTokenHasKey: elsewhere,
        })
      } catch (error) {
        if (!(error instanceof HsmError)) throw error
        if (index > 0 && error.code === 'E_KEY_UNKNOWN') throw notThere(label, error)
        if (!isOutage(error, core)) throw error
        this.#review()
        first ??= error
        const next = this.#next(tried, label)
        if (next === undefined || this.#options.clock.now() >= deadlineAt) throw first
        index = next
      }
    }
  }

  replaceAgents(lives: readonly AgentHandle[], failure: HsmError): void {
    for (const { core } of this.list) {
      const own = lives.filter((life) => core.lives.includes(life))
      if (own.length > 0) core.replaceAgents(own, failure)
    }
  }

  tick(): void {
    for (const { core, prober } of this.list) {
      core.tick()
      prober.tick()
    }
    this.#review()
  }

  /**
   * Takes no more operations, waits a while for those in progress, ends all agents. Resolves when no process is left.
   */
  async close(beforeEnd: () => void): Promise<void> {
    for (const { core } of this.list) core.stop()
    const until = performance.now() + DRAIN_MS
    while (this.list.some(({ core }) => core.busy > 0) && performance.now() < until) await delay(10)
    beforeEnd()
    await Promise.all(this.list.map(({ core }) => core.end()))
  }

  #review(): void {
    if (this.#started && this.list.length > 1) this.#became(this.#choice.look(this.#outages()))
  }

  /** The pool may return to a token when every key that is right on the serving token is right on this one. */
  #judge(index: number, checks: readonly KeyCheck[], answered: boolean): void {
    if (index >= this.#choice.active) return
    const right = new Set(this.active.prober.checks.flatMap(({ label, state }) => (state === 'ok' ? [label] : [])))
    const { core } = this.#at(index)
    const sound = checks.every(({ label, state }) => state === 'ok' || !right.has(label))
    const passed = answered && sound && core.outage === undefined
    this.#became(this.#choice.probed(index, passed))
  }

  #became(change: Switch | undefined): void {
    if (change === undefined) return
    const [from, to] = [this.#at(change.from), this.#at(change.to)]
    to.core.serve(true)
    from.core.serve(false)
    this.#options.emit({ type: 'failover', from: from.name, token: to.name, reason: change.reason })
    // Waiting operations of a token that is out move to the other; a good token finishes the operations it has.
    if (change.reason !== 'returned') from.core.failWaiters()
  }

  /** The token for an operation that failed on `tried`: one that is known to hold its key, if there is one. */
  #next(tried: ReadonlySet<number>, label: string): number | undefined {
    const able = this.#able(tried)
    return able.find((index) => this.#at(index).prober.isRight(label)) ?? able[0]
  }

  /** Tokens that can serve, the serving one first. */
  #able(tried: ReadonlySet<number>): number[] {
    const outages = this.#outages()
    const { active } = this.#choice
    return [active, ...outages.keys()].filter((index, place) => {
      return !tried.has(index) && outages[index] === undefined && (place === 0 || index !== active)
    })
  }

  #outages() {
    return this.list.map(({ core }) => core.outage)
  }

  #at(index: number): PoolToken {
    const token = this.list[index]
    if (token === undefined) throw new RangeError(`there is no token ${index}`)
    return token
  }
}

/** Whether the failure is the token's, not the key's or the caller's. */
function isOutage(error: HsmError, core: TokenPool): boolean {
  if (error.code === 'HSM_UNAVAILABLE' || error.code === 'HSM_SESSION_LOST') return true
  if (error.code === 'HSM_ACCESS_DENIED') return core.outage === 'denied'
  return error instanceof HsmBusy && !core.lives.some(({ state }) => state === 'ready')
}
