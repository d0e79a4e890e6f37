import type { AgentHandleOptions } from './agent-handle.js'
import type { AgentEvents, AgentConnection } from './agent-connection.js'

/** Options of the pool of one token. Times in milliseconds. */
export interface TokenPoolOptions extends Omit<AgentHandleOptions, 'index' | 'start'> {
  readonly agents: number
  readonly maxWaiters: number
  readonly deadlineMs: number
  readonly restartIntervalMs: number
  readonly maxAgentRssBytes: number
  readonly start: (events: AgentEvents, sessions: number) => AgentConnection
  /** False: this token only stands by, with one agent, until `TokenPool.serve`. Default true. */
  readonly serving?: boolean
  /** Called with the check value that an agent found first, for a key without a known one. */
  readonly onKeyBound?: (label: string, kcv: string) => void
}
