import { classify, type FailureCode } from '@sealfleet/failures'

import { unlessAborted } from '@sealfleet/runtime'
import { Breaker, GUARDED, type Guarded } from './breaker.js'
import type { Probe } from '@sealfleet/runtime'

export interface BreakersOptions {
  readonly probes: Readonly<Record<Guarded, Probe>>
  /** Called when a breaker opened, or turned out to need a repair. */
  readonly onOpen: (dependency: Guarded, code: FailureCode) => void
  readonly onClose: (dependency: Guarded, code: FailureCode, openMs: number) => void
  /** Called when the first breaker that pauses the intake has opened (false), or the last has closed (true). */
  readonly onAccepting: (open: boolean) => void
  /** Called when the result of `open` changed: one opened or closed, or its next probe moved. */
  readonly onChange?: () => void
  /** Time-out of a probe, milliseconds. */
  readonly probeTimeoutMs?: number
  readonly random?: () => number
}

export interface OpenBreaker {
  readonly dependency: Guarded
  readonly code: FailureCode
  readonly openMs: number
  /** Milliseconds until it is probed next; 0 while a probe is under way. */
  readonly probeInMs: number
}

/**
 * Whether this process takes no jobs while a breaker is open. A missing folder must not stop the files of other roots:
 * only the jobs of that root are returned (unavailable-roots.ts).
 */
export function pausesConsumer({ dependency }: Pick<OpenBreaker, 'dependency'>): boolean {
  return dependency !== 'roots'
}

/** All breakers of one process: which are open, and the probes that close them. Dispose stops the probes. */
export class Breakers implements Disposable {
  readonly #options: BreakersOptions
  readonly #breakers: ReadonlyMap<Guarded, Breaker>
  readonly #timers = new Map<Guarded, NodeJS.Timeout>()
  readonly #probing = new Set<Guarded>()
  readonly #stop = new AbortController()

  constructor(options: BreakersOptions) {
    this.#options = options
    const random = options.random ?? Math.random
    this.#breakers = new Map(GUARDED.map((dependency) => [dependency, new Breaker({ random })]))
  }

  /** The open ones. */
  open(): readonly OpenBreaker[] {
    const now = performance.now()
    return [...this.#breakers].flatMap(([dependency, { open, probeAt = now }]) =>
      open === undefined
        ? []
        : [{ dependency, code: open.code, openMs: now - open.since, probeInMs: Math.max(0, probeAt - now) }],
    )
  }

  /** Probes every open one now, ignoring its pause: an operator asked for it after a repair. */
  probeNow(): void {
    for (const [dependency, { open }] of this.#breakers) {
      if (open === undefined || this.#probing.has(dependency) || this.#stop.signal.aborted) continue
      clearTimeout(this.#timers.get(dependency))
      void this.#probe(dependency)
    }
  }

  /** A dependency failed a job. Opens its breaker unless it is open already. */
  failed(dependency: Guarded, code: FailureCode): void {
    if (this.#stop.signal.aborted) return
    const held = this.#held
    if (!this.#of(dependency).failed(code, performance.now())) return
    // First stop taking jobs, then report.
    if (!held && this.#held) this.#options.onAccepting(false)
    this.#options.onOpen(dependency, code)
    this.#schedule(dependency)
    this.#options.onChange?.()
  }

  [Symbol.dispose](): void {
    this.#stop.abort()
    for (const timer of this.#timers.values()) clearTimeout(timer)
    this.#timers.clear()
  }

  get #held(): boolean {
    return this.open().some(pausesConsumer)
  }

  #of(dependency: Guarded): Breaker {
    const breaker = this.#breakers.get(dependency)
    if (breaker === undefined) throw new RangeError(`no breaker stands before ${dependency}`)
    return breaker
  }

  #schedule(dependency: Guarded): void {
    const { probeAt } = this.#of(dependency)
    if (probeAt === undefined || this.#stop.signal.aborted) return
    clearTimeout(this.#timers.get(dependency))
    const timer = setTimeout(
      () => {
        void this.#probe(dependency)
      },
      Math.max(0, probeAt - performance.now()),
    )
    this.#timers.set(dependency, timer.unref())
  }

  async #probe(dependency: Guarded): Promise<void> {
    const breaker = this.#of(dependency)
    const before = breaker.open
    if (before === undefined || this.#probing.has(dependency)) return
    this.#probing.add(dependency)
    const error = await this.#failureOf(dependency)
    this.#probing.delete(dependency)
    if (this.#stop.signal.aborted) return
    const now = performance.now()
    if (error === undefined) {
      const { code } = breaker.open ?? before
      const held = this.#held
      const openMs = breaker.probeSucceeded(now)
      if (openMs !== undefined) this.#options.onClose(dependency, code, openMs)
      if (held && !this.#held) this.#options.onAccepting(true)
      this.#options.onChange?.()
      return
    }
    const { code } = classify(error, dependency === 'roots' ? {} : { during: dependency })
    if (breaker.probeFailed(code, now)) this.#options.onOpen(dependency, code)
    this.#schedule(dependency)
    this.#options.onChange?.()
  }

  /** The error of the probe, undefined when it passed. */
  async #failureOf(dependency: Guarded): Promise<Error | undefined> {
    const { probes, probeTimeoutMs = 20_000 } = this.#options
    const late = AbortSignal.timeout(probeTimeoutMs)
    const signal = AbortSignal.any([late, this.#stop.signal])
    try {
      // Not every driver obeys a signal: such a probe is abandoned.
      await unlessAborted(probes[dependency](signal), signal)
      return undefined
    } catch (error) {
      return error instanceof Error ? error : new Error(String(error))
    }
  }
}
