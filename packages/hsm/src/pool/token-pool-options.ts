import type { AgentHandleOptions } from './agent-handle.js'
import type { AgentEvents, AgentConnection } from './agent-connection.js'

/** How the pool of one token is run. Times in milliseconds. */
export interface TokenPoolOptions extends Omit<AgentHandleOptions, 'index' | 'start'> {
  readonly agents: number
  readonly maxWaiters: number
  readonly deadlineMs: number
  readonly restartIntervalMs: number
  readonly maxAgentRssBytes: number
  readonly start: (events: AgentEvents, sessions: number) => AgentConnection
  /** False: this token only stands by, with one agent, until `TokenPool.serve`. Default true. */
  readonly serving?: boolean
  /** Told the check value that an agent found first, of a key nothing was known of. */
  readonly onKeyBound?: (label: string, kcv: string) => void
}
