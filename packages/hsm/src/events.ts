import type { Role } from './contract.js'
import type { HsmErrorCode } from './errors/hsm-error.js'
import type { OperationName } from './pool/request.js'

export type RestartReason = 'died' | 'failed-start' | 'hung' | 'silent' | 'error' | 'stale' | 'memory'

/** For metrics: names, numbers and times, never bytes. Times are milliseconds. */
export type HsmEvent =
  | {
      readonly type: 'operation'
      readonly operation: OperationName
      readonly role: Role
      readonly outcome: 'ok' | 'aborted' | HsmErrorCode
      readonly queueMs: number
      readonly runMs: number
      readonly replays: number
    }
  | { readonly type: 'error'; readonly ckr: number; readonly fn: string; readonly class: string }
  | { readonly type: 'slow' | 'hung'; readonly agent: number; readonly role: Role }
  | { readonly type: 'restart'; readonly agent: number; readonly reason: RestartReason }
  | { readonly type: 'ready'; readonly agent: number; readonly sessions: number; readonly startMs: number }
  | { readonly type: 'login'; readonly agent: number; readonly accepted: boolean }
  | { readonly type: 'capacity'; readonly agent: number; readonly sessions: number }
  | { readonly type: 'session-replaced' | 'sessions-reopened'; readonly agent: number }
  | { readonly type: 'breaker'; readonly state: 'closed' | 'open' | 'half-open' }
  | { readonly type: 'check-value'; readonly label: string; readonly state: CheckState }
  /** Two computations of the same thing differed: the HSM computes wrongly. */
  | { readonly type: 'disagreement'; readonly role: Role }
  | { readonly type: 'latched'; readonly serial: string; readonly pinId: string }

/** `pending`: expected, not compared yet. */
export type CheckState = 'pending' | 'ok' | 'mismatch' | 'unknown' | 'unreachable'
