import type { CheckState } from '../events.js'
import type { HsmErrorCode } from '../errors/hsm-error.js'
import type { TokenIdentity } from '../wire/messages.js'
import type { BreakerState } from './breaker.js'
import type { AgentState } from './agent-handle.js'
import type { KeyCheck } from './probe.js'
import type { Outage } from './failover-policy.js'
import type { PoolToken, FailoverPool } from './failover-pool.js'

export interface AgentHealth {
  /** Name of its token in the pool: `primary`, `secondary-1`, … */
  readonly token: string
  readonly index: number
  readonly pid: number | undefined
  readonly state: AgentState
  readonly busy: number
  readonly hung: number
  /** The sessions of the agent, without the login session. */
  readonly sessions: number
  /** These sessions by state, as of the last heartbeat. */
  readonly sessionStates: Readonly<Record<SessionState, number>> | undefined
  readonly rssBytes: number | undefined
}

export type SessionState = 'idle' | 'leased' | 'hung' | 'broken'

/** One key on one token of the pool. */
export interface KeyOnToken {
  /** Name of the token in the pool: `primary`, `secondary-1`, … */
  readonly token: string
  readonly state: CheckState
}

/** One token of several that hold the same keys. */
export interface TokenHealth {
  readonly name: string
  /** Whether operations go to it now. */
  readonly serving: boolean
  /** Why the token cannot serve; undefined if it can. */
  readonly outage: Outage | undefined
  readonly breaker: BreakerState
  readonly waiting: number
  readonly token: TokenIdentity | undefined
  readonly keys: readonly KeyCheck[]
  readonly probeAgeMs: number
}

/** `breaker`, `token`, `keys` and `probeAgeMs` describe the serving token; `agents` holds the agents of all tokens. */
export interface PoolHealth {
  /** Whether an operation submitted now can succeed. */
  readonly ready: boolean
  readonly breaker: BreakerState
  readonly waiting: number
  readonly agents: readonly AgentHealth[]
  readonly token: TokenIdentity | undefined
  readonly keys: readonly KeyCheck[]
  readonly probeAgeMs: number
  readonly tokens: readonly TokenHealth[]
  readonly lastFailure: { readonly code: HsmErrorCode; readonly message: string; readonly fix?: string } | undefined
}

export function healthOf(tokens: FailoverPool): PoolHealth {
  const { active } = tokens
  const serving = tokenHealth(active, true)
  const failure = active.core.lastFailure
  const fix = failure?.fix === undefined ? {} : { fix: failure.fix }
  const agents = tokens.list.flatMap(agentsOf)
  return {
    ready: tokens.list.some(({ name, core }) => {
      return core.breaker.state === 'closed' && agents.some(({ token, state }) => token === name && state === 'ready')
    }),
    breaker: serving.breaker,
    waiting: tokens.list.reduce((sum, { core }) => sum + core.waiting, 0),
    agents,
    token: serving.token,
    keys: serving.keys,
    probeAgeMs: serving.probeAgeMs,
    tokens: tokens.list.map((one) => (one === active ? serving : tokenHealth(one, false))),
    lastFailure: failure === undefined ? undefined : { code: failure.code, message: failure.message, ...fix },
  }
}

function tokenHealth({ name, core, prober }: PoolToken, serving: boolean): TokenHealth {
  const token = core.lives.find((life) => life.token !== undefined)?.token
  const state = { outage: core.outage, breaker: core.breaker.state, waiting: core.waiting }
  return { name, serving, ...state, token, keys: prober.checks, probeAgeMs: prober.ageMs }
}

function agentsOf({ name, core }: PoolToken): AgentHealth[] {
  return core.lives.map((life) => {
    const { index, pid, state, busy, hung, sessions, beat } = life
    const sessionStates = beat && { idle: beat.idle, leased: beat.leased, hung: beat.hung, broken: beat.broken }
    return { token: name, index, pid, state, busy, hung, sessions, sessionStates, rssBytes: beat?.rss }
  })
}
