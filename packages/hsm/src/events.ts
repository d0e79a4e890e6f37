import type { Role } from './contract.js'
import type { HsmErrorCode } from './errors/hsm-error.js'
import type { OperationName } from './wire/operations.js'
import type { FailoverReason } from './pool/failover-policy.js'

/** `surplus`: the token no longer serves; one agent is enough on standby. */
export type RestartReason = 'died' | 'failed-start' | 'hung' | 'silent' | 'error' | 'stale' | 'memory' | 'surplus'

/**
 * For metrics: names, numbers and times, never bytes. Times are milliseconds. `token` is the token's name in the pool:
 * `primary`, `secondary-1`, …
 */
export type HsmEvent = EventBody & { readonly token?: string }

type EventBody =
  | {
      readonly type: 'operation'
      readonly operation: OperationName
      readonly role: Role
      /** `moved`: this token failed, and the operation went to another one. */
      readonly outcome: 'ok' | 'aborted' | 'moved' | HsmErrorCode
      readonly queueMs: number
      readonly runMs: number
      readonly replays: number
    }
  | { readonly type: 'error'; readonly ckr: number; readonly fn: string; readonly class: string }
  | { readonly type: 'slow' | 'hung'; readonly agent: number; readonly role: Role }
  | { readonly type: 'restart'; readonly agent: number; readonly reason: RestartReason }
  | { readonly type: 'ready'; readonly agent: number; readonly sessions: number; readonly startMs: number }
  | { readonly type: 'login'; readonly agent: number; readonly accepted: boolean }
  /** An agent works with `sessions` sessions, fewer than the `wanted`: the token gave no more. */
  | { readonly type: 'capacity'; readonly agent: number; readonly sessions: number; readonly wanted: number }
  /** An agent wants more sessions than the token's limit for one application. */
  | { readonly type: 'over-limit'; readonly agent: number; readonly wanted: number; readonly limit: number }
  /** `token` serves from now on, instead of `from`. */
  | { readonly type: 'failover'; readonly from: string; readonly token: string; readonly reason: FailoverReason }
  | { readonly type: 'session-replaced' | 'sessions-reopened'; readonly agent: number }
  | { readonly type: 'breaker'; readonly state: 'closed' | 'open' | 'half-open' }
  | { readonly type: 'check-value'; readonly label: string; readonly state: CheckState }
  /** Two computations of the same value differed: the HSM computes wrongly. */
  | { readonly type: 'disagreement'; readonly role: Role }
  | { readonly type: 'locked-out'; readonly serial: string; readonly pinId: string }

/** `pending`: expected, not compared yet. */
export type CheckState = 'pending' | 'ok' | 'mismatch' | 'unknown' | 'unreachable'
