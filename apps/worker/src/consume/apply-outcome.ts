import type { AttemptOutcome } from '@sealfleet/attempts'
import { DelayedError, RateLimitError, UnrecoverableError, WaitingError, type Job, type Worker } from 'bullmq'

import type { FailureCode } from '@sealfleet/failures'

import type { Guarded } from '../health/breaker.js'

/** What a finished job leaves in Redis for observers. Nothing secret. */
export interface JobReport {
  readonly outcome: string
  readonly state?: string
  readonly attemptId?: string
  readonly attemptNo?: number
  readonly objectKey?: string
  readonly plaintextLength?: number
  readonly encKeyVersion?: number
}

/** Milliseconds by which a job comes back after a lease of another worker ended: by the database's clock it must be over. */
const AFTER_LEASE_MS = 100
/** Delay of a file whose domain's keys have a problem, until they are repaired. */
const KEY_TROUBLE_MS = 30_000
/** A fenced job comes back soon: the record then shows whether anything is left to do. */
const AFTER_FENCE_MS = 2_000
/** A job returned because of an outage of this worker is soon taken by a worker without one. */
const AFTER_OUTAGE_MS = 1_000

/** Delay of a job whose root is missing here; each time another worker may have the root. */
const ROOT_OUT_MS = 5_000

/** Overload of a shared dependency: the whole fleet slows down, and no probe is needed. */
const SLOW_DOWN: ReadonlySet<FailureCode> = new Set<FailureCode>(['S3_THROTTLED', 'HSM_BUSY'])

/** An outcome after which the job may come back. */
export type UnfinishedOutcome = Extract<AttemptOutcome, { kind: 'leased' | 'fenced' | 'failed' }>

export interface OutcomeOptions {
  /** Limits the rate of the whole queue. */
  readonly worker: Pick<Worker, 'rateLimit'>
  /** Opens a breaker of this process. */
  readonly onOutage: (dependency: Guarded, code: FailureCode) => void
}

/**
 * Reports an outcome that does not end its job to BullMQ. Postgres decides about attempts and dead letters, so BullMQ only
 * receives: done, later, back to the queue, or dead.
 *
 * - later: `moveToDelayed` + DelayedError. It counts no attempt in BullMQ.
 * - a dependency is out: its breaker opens in this process, so that no more jobs are taken here, and the job goes back with
 *   a small delay, for a worker that reaches it.
 * - a dependency is overloaded: the whole queue is rate limited, so that the fleet slows down together, and the job goes back.
 * - shutting down: `moveToWait` + WaitingError gives the job to another worker at once.
 */
export async function applyOutcome(
  options: OutcomeOptions,
  job: Job,
  token: string | undefined,
  outcome: UnfinishedOutcome,
): Promise<JobReport> {
  switch (outcome.kind) {
    case 'leased':
      return delay(job, token, outcome.retryInMs + AFTER_LEASE_MS)
    case 'fenced':
      return delay(job, token, AFTER_FENCE_MS)
    case 'failed':
      return applyFailure(options, job, token, outcome)
  }
}

/** The policy's decision is recorded already. */
async function applyFailure(
  { worker, onOutage }: OutcomeOptions,
  job: Job,
  token: string | undefined,
  { failed, decision }: Extract<AttemptOutcome, { kind: 'failed' }>,
): Promise<JobReport> {
  const { code, failure } = failed
  switch (decision.action) {
    case 'retry':
      await job.log(`${code}: ${failure.summary} Tried again in ${Math.ceil(decision.delayMs / 1000)} s.`)
      return delay(job, token, decision.delayMs)
    case 'hold':
    case 'pause':
      if (decision.dependency === 'process') return returnToQueue(job, token)
      // A problem with one domain's keys must not hold back the files of other domains.
      if (code === 'NO_ACTIVE_KEY' || code === 'KEY_MISMATCH') return delay(job, token, KEY_TROUBLE_MS)
      if (SLOW_DOWN.has(code)) {
        await worker.rateLimit(Math.max(1_000, decision.delayMs))
        throw new RateLimitError()
      }
      onOutage(decision.dependency, code)
      return delay(job, token, AFTER_OUTAGE_MS + decision.delayMs)
    case 'dead':
      throw new UnrecoverableError(`${code}: ${failure.summary}`)
    case 'record':
      return { outcome: 'cancelled', state: code }
  }
}

/** Returns a job to be taken at once, without counting an attempt. */
export async function returnToQueue(job: Job, token: string | undefined): Promise<never> {
  await job.moveToWait(token)
  throw new WaitingError()
}

/** Returns a job with a small random delay, so that many jobs do not come back at once. */
export function delayShortly(job: Job, token: string | undefined): Promise<never> {
  return delay(job, token, AFTER_OUTAGE_MS * (1 + Math.random()))
}

/** Returns a job whose source this worker cannot reach, for another worker or for later. */
export function delayUntilRootAvailable(job: Job, token: string | undefined): Promise<never> {
  return delay(job, token, ROOT_OUT_MS * (1 + Math.random()))
}

/** Returns a job with this delay, in whole milliseconds: BullMQ keeps what it is given, and others may read it. */
async function delay(job: Job, token: string | undefined, delayMs: number): Promise<never> {
  await job.moveToDelayed(Math.ceil(Date.now() + delayMs), token)
  throw new DelayedError()
}
