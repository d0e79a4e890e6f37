import { setTimeout as delay } from 'node:timers/promises'

import { classify, type Classified } from '@sealfleet/failures'
import { countFailure, type Logger, type Metrics } from '@sealfleet/telemetry'

export interface RepeatOptions {
  /** Milliseconds between two rounds. */
  readonly everyMs: number
  /** Milliseconds between two rounds during an outage, if that is longer. */
  readonly outMs?: number
  readonly signal: AbortSignal
  /** Called on the first round of an outage that fails, and when its code changes. */
  readonly onOutage: (found: Classified, error: unknown) => void
  /** Called on the first round that succeeds again, with the last code of the outage. */
  readonly onRecovered?: (code: Classified['code']) => void
}

/**
 * Runs rounds, one at a time, until the signal aborts. A round that fails is an outage: it is reported once, and the next
 * round tries again. A round that resolves with `true` is followed by the next one at once.
 *
 * Resolves when no round runs any more; never rejects. A failure after the abort is not reported. The pauses keep no
 * process alive.
 */
export async function repeat(round: () => Promise<boolean | void>, options: RepeatOptions): Promise<void> {
  const { everyMs, outMs = everyMs, signal, onOutage, onRecovered } = options
  let out: Classified['code'] | undefined
  while (!signal.aborted) {
    let more = false
    try {
      more = (await round()) === true
      if (out !== undefined) onRecovered?.(out)
      out = undefined
    } catch (error) {
      if (signal.aborted) return
      const found = classify(error)
      if (found.code !== out) onOutage(found, error)
      out = found.code
    }
    if (more) continue
    const pauseMs = out === undefined ? everyMs : Math.max(everyMs, outMs)
    await delay(pauseMs, undefined, { signal, ref: false }).catch((error: unknown) => {
      if (!signal.aborted) throw error
    })
  }
}

/** Reports an outage of a maintenance loop: a log line, an error if the failure pages, and the metric of failures. */
export function outageReporter(
  component: string,
  { log, metrics }: { readonly log: Logger; readonly metrics: Metrics },
  recovered: string,
): Pick<RepeatOptions, 'onOutage' | 'onRecovered'> {
  return {
    onOutage: ({ code, failure }, error) => {
      countFailure(metrics, failure)
      log[failure.page ? 'error' : 'warn']({ component, code, err: error }, failure.summary)
    },
    onRecovered: (code) => log.info({ component, code }, recovered),
  }
}
