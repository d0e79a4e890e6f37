import type { HsmErrorCode } from '../errors/hsm-error.js'
import type { TokenIdentity } from '../wire/messages.js'
import type { BreakerState } from './breaker.js'
import type { PoolCore } from './core.js'
import type { LifeState } from './life.js'
import type { KeyCheck, Prober } from './probe.js'

export interface AgentHealth {
  readonly index: number
  readonly pid: number | undefined
  readonly state: LifeState
  readonly busy: number
  readonly hung: number
  readonly sessions: number
  readonly rssBytes: number | undefined
}

export interface PoolHealth {
  /** Whether an operation submitted now has a chance. */
  readonly ready: boolean
  readonly breaker: BreakerState
  readonly waiting: number
  readonly agents: readonly AgentHealth[]
  readonly token: TokenIdentity | undefined
  readonly keys: readonly KeyCheck[]
  readonly probeAgeMs: number
  readonly lastFailure: { readonly code: HsmErrorCode; readonly message: string; readonly fix?: string } | undefined
}

export function healthOf(core: PoolCore, prober: Prober): PoolHealth {
  const agents = core.lives.map((life) => {
    const { index, pid, state, busy, hung, sessions, beat } = life
    return { index, pid, state, busy, hung, sessions, rssBytes: beat?.rss }
  })
  const failure = core.lastFailure
  const fix = failure?.fix === undefined ? {} : { fix: failure.fix }
  return {
    ready: core.breaker.state === 'closed' && agents.some(({ state }) => state === 'ready'),
    breaker: core.breaker.state,
    waiting: core.waiting,
    agents,
    token: core.lives.find(({ token }) => token !== undefined)?.token,
    keys: prober.checks,
    probeAgeMs: prober.ageMs,
    lastFailure: failure === undefined ? undefined : { code: failure.code, message: failure.message, ...fix },
  }
}
