import type { PoolHealth } from '@sealfleet/hsm'
import type { Metrics } from '@sealfleet/telemetry'

const SESSION_STATES = ['idle', 'leased', 'hung', 'broken'] as const
const AGENT_STATES = ['starting', 'ready', 'retiring'] as const
const CHECK_STATES = ['pending', 'ok', 'mismatch', 'unknown', 'unreachable'] as const
const BREAKER_STATES = ['closed', 'open', 'half-open'] as const

/**
 * Sets the gauges to the pool's present state; called when the metrics are scraped.
 * @param sessions the target number of each agent
 */
export function setHsmStates(metrics: Metrics, { agents, tokens }: PoolHealth, sessions: number): void {
  for (const { name: token, serving, outage, breaker, waiting, keys, probeAgeMs } of tokens) {
    const own = agents.filter((agent) => agent.token === token)
    const ready = own.filter(({ state }) => state === 'ready')
    metrics.hsmServing.set({ token }, serving ? 1 : 0)
    metrics.hsmTokenUsable.set({ token }, outage === undefined ? 1 : 0)
    metrics.hsmWaiters.set({ token }, waiting)
    metrics.hsmProbeAge.set({ token }, probeAgeMs / 1000)
    metrics.hsmSessionsWanted.set({ token }, ready.length * sessions)
    for (const state of SESSION_STATES) {
      metrics.hsmSessions.set({ token, state }, sum(own.map(({ sessionStates }) => sessionStates?.[state] ?? 0)))
    }
    for (const state of AGENT_STATES) {
      metrics.hsmAgents.set({ token, state }, own.filter((agent) => agent.state === state).length)
    }
    for (const state of CHECK_STATES) {
      metrics.hsmCheckValues.set({ token, state }, keys.filter((key) => key.state === state).length)
    }
    for (const state of BREAKER_STATES) metrics.hsmBreaker.set({ token, state }, breaker === state ? 1 : 0)
  }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}
