import type { HsmEvent } from '../events.js'

/** Counters since the pool was opened. */
export interface PoolStats {
  operations: number
  failures: number
  replays: number
  slow: number
  hung: number
  logins: number
  rejectedLogins: number
  restarts: Record<string, number>
  sessionsReplaced: number
  sessionsReopened: number
  /** PKCS#11 return values seen by the agents, `fn:0x30` → count. */
  errors: Record<string, number>
  breakerOpened: number
  disagreements: number
  /** Operations that failed on one token and were given to another. */
  moves: number
  failovers: Record<string, number>
}

export function newStats(): PoolStats {
  const zero = { operations: 0, failures: 0, replays: 0, slow: 0, hung: 0, logins: 0, rejectedLogins: 0 }
  return {
    ...zero,
    restarts: {},
    sessionsReplaced: 0,
    sessionsReopened: 0,
    errors: {},
    breakerOpened: 0,
    disagreements: 0,
    moves: 0,
    failovers: {},
  }
}

export function countEvent(stats: PoolStats, event: HsmEvent): void {
  switch (event.type) {
    case 'operation':
      stats.replays += event.replays
      if (event.outcome === 'moved') {
        stats.moves += 1
        return
      }
      stats.operations += 1
      if (event.outcome !== 'ok') stats.failures += 1
      return
    case 'error': {
      const key = `${event.fn}:0x${event.ckr.toString(16)}`
      stats.errors[key] = (stats.errors[key] ?? 0) + 1
      return
    }
    case 'slow':
    case 'hung':
      stats[event.type] += 1
      return
    case 'restart':
      stats.restarts[event.reason] = (stats.restarts[event.reason] ?? 0) + 1
      return
    case 'login':
      stats.logins += 1
      if (!event.accepted) stats.rejectedLogins += 1
      return
    case 'session-replaced':
      stats.sessionsReplaced += 1
      return
    case 'sessions-reopened':
      stats.sessionsReopened += 1
      return
    case 'breaker':
      if (event.state === 'open') stats.breakerOpened += 1
      return
    case 'disagreement':
      stats.disagreements += 1
      return
    case 'failover':
      stats.failovers[event.reason] = (stats.failovers[event.reason] ?? 0) + 1
      return
    case 'ready':
    case 'capacity':
    case 'over-limit':
    case 'check-value':
    case 'locked-out':
      return
  }
}
