import type { LifeOptions } from './agent-handle.js'
import type { AgentEvents, AgentLink } from './agent-connection.js'

/** How the pool of one token is run. Times in milliseconds. */
export interface CoreOptions extends Omit<LifeOptions, 'index' | 'start'> {
  readonly agents: number
  readonly maxWaiters: number
  readonly deadlineMs: number
  readonly restartIntervalMs: number
  readonly maxAgentRssBytes: number
  readonly start: (events: AgentEvents, sessions: number) => AgentLink
  /** False: this token only stands by, with one agent, until `PoolCore.serve`. Default true. */
  readonly serving?: boolean
  /** Told the check value that an agent found first, of a key nothing was known of. */
  readonly onBound?: (label: string, kcv: string) => void
}
