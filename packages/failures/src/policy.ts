import type { BackoffStrategy } from 'bullmq'
import { classify } from './classify.js'
import type { Dependency, Failure } from './terms.js'

/** The longest wait between two attempts. */
export const BACKOFF_CAP_MS = 15 * 60_000
const BACKOFF_BASE_MS = 2_000

/** Attempts of one file that may be counted in total, whatever ended them. The largest limit of a single code. */
export const MAX_ATTEMPTS = 12

export interface BackoffOptions {
  readonly baseMs?: number
  readonly capMs?: number
  /** uniform in [0, 1) */
  readonly random?: () => number
}

/**
 * Milliseconds to wait after the n-th attempt (n ≥ 1): full jitter, uniform in [0, min(cap, base · 2^(n−1))), so that
 * files that failed together are not retried together. Source:
 * https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
 */
export function backoff(attempt: number, options: BackoffOptions = {}): number {
  const { baseMs = BACKOFF_BASE_MS, capMs = BACKOFF_CAP_MS, random = Math.random } = options
  const ceiling = Math.min(capMs, baseMs * 2 ** Math.min(Math.max(attempt, 1) - 1, 40))
  return Math.floor(random() * ceiling)
}

/** The counted attempts of a file, including the one that just failed. */
export interface AttemptHistory {
  readonly counted: number
  /** the number of them that ended with the same code as this one; when unknown, `burned` */
  readonly sameCode?: number
}

/** A worker's action for a failed job. */
export type Decision =
  | { readonly action: 'retry'; readonly delayMs: number }
  | { readonly action: 'hold'; readonly dependency: Dependency; readonly delayMs: number }
  | { readonly action: 'pause'; readonly dependency: Dependency; readonly delayMs: number }
  | { readonly action: 'dead' }
  | { readonly action: 'record' }

/** The failure's policy, applied to one file's history. Pure but for `random`. */
export function decide(failure: Failure, history: AttemptHistory, options: BackoffOptions = {}): Decision {
  const { policy } = failure
  switch (policy.kind) {
    case 'retry': {
      const { counted: counted, sameCode = counted } = history
      if (sameCode >= policy.attempts || counted >= MAX_ATTEMPTS) return { action: 'dead' }
      return { action: 'retry', delayMs: backoff(counted, options) }
    }
    case 'hold':
    case 'pause':
      // Jobs given back together would come back together, without a little jitter.
      return { action: policy.kind, dependency: policy.dependency, delayMs: backoff(3, options) }
    case 'dead':
    case 'record':
      return { action: policy.kind }
  }
}

/** Name of the back-off in a job's options; the worker must be given `backoffStrategy`. */
export const BACKOFF_TYPE = 'sealfleet'

/**
 * For `settings.backoffStrategy` of a BullMQ Worker: our policy by the error's code; −1 ends the job. Only used where a
 * processor throws plain errors: the ingest worker itself decides by the history in PostgreSQL.
 */
export const backoffStrategy: BackoffStrategy = (attemptsMade, type, error) => {
  if (type !== BACKOFF_TYPE) return backoff(attemptsMade)
  const decision = decide(classify(error).failure, { counted: attemptsMade })
  return 'delayMs' in decision ? decision.delayMs : -1
}
