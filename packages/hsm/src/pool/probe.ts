import { timingSafeEqual } from 'node:crypto'

import type { CheckState, HsmEvent } from '../events.js'
import { HsmError } from '../errors/hsm-error.js'
import { parseKeyLabel } from '@sealfleet/format'
import { packKeyed } from '../wire/messages.js'
import type { TokenPool } from './token-pool.js'
import type { Submission } from './request-factory.js'
import type { AgentHandle } from './agent-handle.js'

export interface KeyCheck {
  readonly label: string
  state: CheckState
  /** Time of the last comparison, on the pool's clock; undefined: never. */
  at: number | undefined
}

interface Expected {
  readonly check: KeyCheck
  readonly kcv: Buffer | undefined
}

/**
 * Recomputes the check value of every expected key, on every agent, at an interval. Also decides by one round trip
 * whether an open breaker may close. Validation is by operation: a session's own status says "fine" while the token is
 * gone.
 */
export class Prober {
  readonly #core: TokenPool
  readonly #intervalMs: number
  readonly #now: () => number
  readonly #emit: (event: HsmEvent) => void
  readonly #expected = new Map<string, Expected>()
  readonly #forgotten = new Set<string>()
  /** Called after each round with the state of all expected keys, and whether the token answered at all. */
  onRound: ((checks: readonly KeyCheck[], answered: boolean) => void) | undefined
  #lastAt: number
  #running = false

  constructor(core: TokenPool, options: { intervalMs: number; now: () => number; emit: (event: HsmEvent) => void }) {
    this.#core = core
    this.#intervalMs = options.intervalMs
    this.#now = options.now
    this.#emit = options.emit
    this.#lastAt = options.now()
  }

  /**
   * `kcv` is undefined for a KEK, whose check is its record. Adding a key again keeps the result of its last
   * comparison.
   */
  add(label: string, kcv: Buffer | undefined): void {
    if (this.#forgotten.has(label)) return
    const known = this.#expected.get(label)
    const same = known !== undefined && (kcv === undefined ? known.kcv === undefined : known.kcv?.equals(kcv) === true)
    if (!same) this.#expected.set(label, { check: { label, state: 'pending', at: undefined }, kcv })
  }

  /** Stops asking for this key, even if a later {@link add} names it. */
  forget(label: string): void {
    this.#forgotten.add(label)
    this.#expected.delete(label)
  }

  /**
   * The state of an expected key on this token: that of its last comparison if it was right, else of one now. Never
   * rejects.
   */
  async stateOf(label: string): Promise<CheckState> {
    const expected = this.#expected.get(label)
    if (expected === undefined) throw new RangeError(`nothing is expected of ${label}`)
    const lives = this.#ready()
    // The last right comparison says nothing about a token without agents.
    if (lives.length === 0 || this.#core.outage !== undefined) return 'unreachable'
    if (expected.check.state !== 'ok') await this.#compareOn(lives, label, expected)
    return expected.check.state
  }

  get checks(): readonly KeyCheck[] {
    return [...this.#expected.values()].map(({ check }) => ({ ...check }))
  }

  /** Whether the key was right on every agent when it was last compared. */
  isRight(label: string): boolean {
    return this.#expected.get(label)?.check.state === 'ok'
  }

  /** Milliseconds since the last round of probes ended. */
  get ageMs(): number {
    return this.#now() - this.#lastAt
  }

  tick(): void {
    const life = this.#core.lives.find(({ state }) => state === 'ready')
    if (life === undefined) return
    if (this.#core.breaker.takeProbe()) void this.#tryToClose(life)
    const due = this.#expected.size > 0 || this.onRound !== undefined
    if (!this.#running && due && this.ageMs >= this.#intervalMs) void this.run()
  }

  /** Runs one round now. Resolves when all agents have answered for all keys; failures are in {@link checks}. */
  async run(): Promise<void> {
    this.#running = true
    let answered = false
    try {
      const lives = this.#ready()
      answered = this.#expected.size > 0 || (await this.#pinged(lives))
      for (const [label, expected] of this.#expected) await this.#compareOn(lives, label, expected)
    } finally {
      this.#running = false
      this.#lastAt = this.#now()
      this.onRound?.(this.checks, answered)
    }
  }

  #ready(): AgentHandle[] {
    return this.#core.lives.filter(({ state }) => state === 'ready')
  }

  async #compareOn(lives: readonly AgentHandle[], label: string, { check, kcv }: Expected): Promise<void> {
    const states = await Promise.all(lives.map((life) => this.#compare(life, label, kcv)))
    const worst = WORST_FIRST.find((state) => states.includes(state)) ?? 'unreachable'
    // Destroyed in the meantime: the result is dropped.
    if (this.#forgotten.has(label)) return
    if (worst !== check.state) this.#emit({ type: 'check-value', label, state: worst })
    check.state = worst
    check.at = this.#now()
  }

  /** Used when there is no key to compare: whether every agent gets an answer from the token. */
  async #pinged(lives: readonly AgentHandle[]): Promise<boolean> {
    const pings = await Promise.allSettled(lives.map((life) => this.#core.submit(ping(life))))
    return pings.length > 0 && pings.every(({ status }) => status === 'fulfilled')
  }

  async #compare(life: AgentHandle, label: string, kcv: Buffer | undefined): Promise<CheckState> {
    try {
      const answer = await this.#core.submit(probeOf(label, life))
      return kcv === undefined || timingSafeEqual(answer, kcv) ? 'ok' : 'mismatch'
    } catch (error) {
      if (!(error instanceof HsmError)) throw error
      if (error.code === 'KEY_MISMATCH') return 'mismatch'
      return error.code === 'E_KEY_UNKNOWN' ? 'unknown' : 'unreachable'
    }
  }

  async #tryToClose(life: AgentHandle): Promise<void> {
    const [label] = this.#expected.keys()
    try {
      await this.#core.submit(label === undefined ? ping(life) : probeOf(label, life))
      this.#core.breaker.success()
    } catch (error) {
      // An answer about a key is an answer from the token.
      const answered = error instanceof HsmError && (error.code === 'E_KEY_UNKNOWN' || error.code === 'KEY_MISMATCH')
      if (answered) this.#core.breaker.success()
      else this.#core.breaker.failure()
    }
  }
}

const WORST_FIRST: readonly CheckState[] = ['mismatch', 'unknown', 'unreachable', 'ok']

function probeOf(label: string, only: AgentHandle): Submission {
  const role = parseKeyLabel(label)?.role ?? 'enc'
  return { name: role === 'kek' ? 'bind' : 'check-value', role, label, parts: packKeyed(label), targetAgent: only }
}

function ping(only: AgentHandle): Submission {
  return { name: 'ping', role: 'sig', label: '', parts: [], targetAgent: only }
}
