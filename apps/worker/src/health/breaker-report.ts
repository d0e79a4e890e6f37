import { FAILURES, type FailureCode } from '@sealfleet/failures'
import type { Logger, Metrics } from '@sealfleet/telemetry'

import { GUARDED, isBroken, type Guarded } from './breaker.js'
import { pausesConsumer, type OpenBreaker } from './breakers.js'

/** Reports breakers: a log line when one opens and when it closes, and the metrics that alerts use. */
export function breakerObserver(metrics: Metrics, log: Logger) {
  for (const dependency of GUARDED) metrics.breakerOpen.set({ dependency }, 0)
  return {
    onOpen: (dependency: Guarded, code: FailureCode): void => {
      metrics.breakerOpen.set({ dependency }, 1)
      metrics.breakerOpenings.inc({ dependency, code })
      const { fix } = FAILURES[code]
      log[isBroken(code) ? 'error' : 'warn'](
        { dependency, code, breaker: 'open' },
        `${dependency} is out: this worker takes no jobs ${dependency === 'roots' ? 'of that root ' : ''}until a probe of it succeeds. ${fix}`,
      )
    },
    onClose: (dependency: Guarded, code: FailureCode, openMs: number): void => {
      metrics.breakerOpen.set({ dependency }, 0)
      log.info(
        { dependency, code, breaker: 'closed', durationMs: Math.round(openMs) },
        `${dependency} is back after ${Math.round(openMs / 1000)} s`,
      )
    },
  }
}

/** For `/readyz`: one line for each. */
export function describeOpen(open: readonly OpenBreaker[]): string {
  return open
    .filter(pausesConsumer)
    .map(({ dependency, code, openMs, probeInMs }) => {
      const next = `Next probe in ${Math.ceil(probeInMs / 1000)} s.`
      return `not ready: ${dependency}: ${code} for ${Math.round(openMs / 1000)} s. ${FAILURES[code].summary} ${next}`
    })
    .join('\n')
}

/** For the worker's row: why and since when each open breaker is open, and its next probe. */
export function breakerDetail(open: readonly OpenBreaker[], now = Date.now()) {
  return {
    breakers: Object.fromEntries(open.map(({ dependency, code }) => [dependency, code])),
    since: Object.fromEntries(open.map(({ dependency, openMs }) => [dependency, new Date(now - openMs).toISOString()])),
    probes: Object.fromEntries(
      open.map(({ dependency, probeInMs }) => [dependency, new Date(now + probeInMs).toISOString()]),
    ),
  }
}
