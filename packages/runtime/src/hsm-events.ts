import { ckrName, type HsmEvent } from '@sealfleet/hsm'
import type { Logger, Metrics } from '@sealfleet/telemetry'

/** Turns the pool's events into metrics, and those that people should read into log lines. Never bytes. */
export function hsmObserver(metrics: Metrics, log: Logger): (event: HsmEvent) => void {
  return (event) => {
    countHsm(metrics, event)
    tellHsm(log, event)
  }
}

function countHsm(metrics: Metrics, event: HsmEvent): void {
  const { token = '' } = event
  switch (event.type) {
    case 'operation': {
      const { operation, role, outcome } = event
      metrics.hsmOperations.inc({ operation, role, outcome, token })
      metrics.hsmSeconds.observe({ operation, role }, event.runMs / 1000)
      metrics.hsmQueueSeconds.observe({ role }, event.queueMs / 1000)
      return
    }
    case 'error':
      return metrics.hsmErrors.inc({ token, code: ckrName(event.ckr).replace(/ \(.*/, ''), class: event.class })
    case 'slow':
      return metrics.hsmSlow.inc({ token, role: event.role })
    case 'hung':
      return metrics.hsmHung.inc({ token, role: event.role })
    case 'restart':
      return metrics.hsmAgentRestarts.inc({ token, reason: event.reason })
    case 'login':
      return metrics.hsmLogins.inc({ token, outcome: event.accepted ? 'accepted' : 'refused' })
    case 'capacity':
      return metrics.hsmSessionShortages.inc({ token, reason: 'refused' })
    case 'over-limit':
      return metrics.hsmSessionShortages.inc({ token, reason: 'limit' })
    case 'failover':
      return metrics.hsmFailovers.inc({ token, reason: event.reason })
    case 'disagreement':
      return metrics.hsmDisagreements.inc({ role: event.role })
    case 'check-value':
      if (event.state === 'mismatch') metrics.hsmKeyMismatches.inc({ token })
      return
    case 'ready':
    case 'breaker':
    case 'locked-out':
    case 'session-replaced':
    case 'sessions-reopened':
      // States are read from the pool when the metrics are scraped (hsm-states.ts).
      return
  }
}

function tellHsm(log: Logger, event: HsmEvent): void {
  const who = { component: 'hsm', hsmToken: event.token } as const
  switch (event.type) {
    case 'operation':
      return
    case 'error':
      return log.warn({ ...who, ckr: event.ckr, fn: event.fn, class: event.class }, 'HSM error')
    case 'restart':
      if (event.reason === 'surplus') return log.info({ ...who, agent: event.agent }, 'HSM agent no longer needed')
      return log.warn({ ...who, agent: event.agent, reason: event.reason }, 'HSM agent replaced')
    case 'ready':
      return log.info({ ...who, agent: event.agent, sessions: event.sessions }, 'HSM agent ready')
    case 'breaker':
      // The pool's own breaker. The gauge breaker_open shows the one that stops intake, which this one's refusals open.
      return log.warn({ ...who, breaker: event.state }, 'HSM breaker')
    case 'capacity': {
      const { agent, sessions, wanted } = event
      return log.warn({ ...who, agent, sessions, wanted }, 'the token gives no more sessions: serving with fewer')
    }
    case 'over-limit': {
      const { agent, wanted, limit } = event
      return log.warn(
        { ...who, agent, wanted, limit },
        'more sessions are configured than the token says it allows: lower SEALFLEET_HSM_SESSIONS or set a budget',
      )
    }
    case 'failover': {
      const { reason } = event
      if (reason === 'returned') return log.info({ ...who, reason }, 'the preferred HSM token serves again')
      return log.error({ ...who, reason }, 'another HSM token serves: repair the one that failed')
    }
    case 'check-value':
      if (event.state !== 'mismatch') return
      return log.error({ ...who, code: 'KEY_MISMATCH' }, 'a master key is not the one that was registered')
    case 'locked-out':
      return log.error({ ...who, code: 'HSM_ACCESS_DENIED' }, 'the PIN was rejected; it is not tried again')
    case 'login':
      return event.accepted ? undefined : log.error({ ...who, agent: event.agent }, 'HSM login refused')
    default:
      return log.debug({ ...who, event: event.type }, 'HSM event')
  }
}
