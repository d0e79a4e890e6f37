import type { HsmEvent } from '@sealfleet/hsm'
import type { Logger, Metrics } from '@sealfleet/telemetry'

/** Turns what the pool reports into metrics, and what somebody should read into log lines. Never bytes. */
export function hsmObserver(metrics: Metrics, log: Logger): (event: HsmEvent) => void {
  return (event) => {
    switch (event.type) {
      case 'operation':
        metrics.hsmOperations.inc({ operation: event.operation, outcome: event.outcome })
        metrics.hsmSeconds.observe({ operation: event.operation }, event.runMs / 1000)
        return
      case 'error':
        return log.warn({ component: 'hsm', ckr: event.ckr, fn: event.fn, class: event.class }, 'HSM error')
      case 'restart':
        metrics.hsmAgentRestarts.inc({ reason: event.reason })
        return log.warn({ component: 'hsm', agent: event.agent, reason: event.reason }, 'HSM agent replaced')
      case 'ready':
        return log.info({ component: 'hsm', agent: event.agent, sessions: event.sessions }, 'HSM agent ready')
      case 'breaker':
        // The pool's own. The gauge shows the one that holds the intake, which this one's refusals open.
        return log.warn({ component: 'hsm', breaker: event.state }, 'HSM breaker')
      case 'check-value':
        if (event.state !== 'mismatch') return
        metrics.hsmKeyMismatches.inc()
        return log.error({ component: 'hsm', code: 'KEY_MISMATCH' }, 'a master key is not the one that was registered')
      case 'latched':
        return log.error({ component: 'hsm', code: 'HSM_ACCESS_DENIED' }, 'the PIN was rejected; nobody tries it again')
      case 'login':
        return event.accepted ? undefined : log.error({ component: 'hsm', agent: event.agent }, 'HSM login refused')
      default:
        return log.debug({ component: 'hsm', event: event.type }, 'HSM event')
    }
  }
}
