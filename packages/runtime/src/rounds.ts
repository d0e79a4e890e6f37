import { setTimeout as delay } from 'node:timers/promises'

import { unlessAborted } from '@sealfleet/format'

/** Milliseconds between two rounds of an idle process. */
const ROUND_MS = 15_000
/** A probe that takes longer has failed; milliseconds. */
const PROBE_TIMEOUT_MS = 20_000

export interface RoundsOptions<Name extends string> {
  /** Each does, on a small scale, what the work does; rejects with the obstacle. */
  readonly probes: Readonly<Record<Name, (signal: AbortSignal) => Promise<void>>>
  /** Dependencies that are known to be out; their breakers probe them. */
  readonly skip?: (name: Name) => boolean
  readonly onResult: (name: Name, error: Error | undefined) => void
  readonly everyMs?: number | undefined
  /** Dependencies with an expensive probe: a fourth as often. */
  readonly rarely?: readonly Name[]
}

/**
 * Probes the dependencies of a process at intervals, so that readiness is true even while no job runs. One probe of
 * each dependency at a time; a hanging one delays only its own dependency. Disposing stops it.
 */
export function startRounds<Name extends string>(options: RoundsOptions<Name>): AsyncDisposable {
  const stop = new AbortController()
  const names = Object.keys(options.probes) as Name[]
  const rounds = Promise.all(names.map((name) => probeAgainAndAgain(options, name, stop.signal)))
  return {
    [Symbol.asyncDispose]: async () => {
      stop.abort(new Error('the process is stopping'))
      await rounds
    },
  }
}

async function probeAgainAndAgain<Name extends string>(
  { probes, skip, onResult, everyMs = ROUND_MS, rarely = [] }: RoundsOptions<Name>,
  name: Name,
  signal: AbortSignal,
): Promise<void> {
  const pauseMs = rarely.includes(name) ? 4 * everyMs : everyMs
  for (;;) {
    try {
      // With jitter: a fleet that was started at once must not probe at once.
      await delay(pauseMs * (0.75 + Math.random() / 2), undefined, { signal, ref: false })
    } catch {
      return // aborted
    }
    if (skip?.(name) === true) continue
    const error = await failureOf(probes[name], signal)
    if (signal.aborted) return
    onResult(name, error)
  }
}

async function failureOf(probe: (signal: AbortSignal) => Promise<void>, stop: AbortSignal): Promise<Error | undefined> {
  const signal = AbortSignal.any([AbortSignal.timeout(PROBE_TIMEOUT_MS), stop])
  try {
    // Not every driver observes a signal: a probe that does not is abandoned.
    await unlessAborted(probe(signal), signal)
    return undefined
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error))
  }
}

/** The lines of `/readyz` on dependencies that failed their last probe. */
export class LastResults<Name extends string> {
  readonly #failed = new Map<Name, string>()
  readonly #since = new Map<Name, Date>()

  set(name: Name, code: string | undefined): void {
    if (code === undefined) {
      this.#failed.delete(name)
      this.#since.delete(name)
      return
    }
    this.#failed.set(name, code)
    if (!this.#since.has(name)) this.#since.set(name, new Date())
  }

  /** The code of each failed dependency; empty when all is well. */
  get failed(): ReadonlyMap<Name, string> {
    return this.#failed
  }

  /** Since when each of them has failed. */
  get since(): ReadonlyMap<Name, Date> {
    return this.#since
  }
}
