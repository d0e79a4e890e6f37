import { DelayedError, RateLimitError, UnrecoverableError, WaitingError, type Job, type Worker } from 'bullmq'

import type { FailureCode } from '@sealfleet/failures'

import type { IngestOutcome } from '../attempt/ingest.js'
import type { Guarded } from '../health/breaker.js'

/** What a finished job leaves in Redis for anyone who watches it. Nothing secret. */
export interface IngestReport {
  readonly outcome: 'stored' | 'skipped' | 'fenced' | 'cancelled'
  readonly state?: string
  readonly attemptId?: string
  readonly attemptNo?: number
  readonly objectKey?: string
  readonly plaintextLength?: number
  readonly encKeyVersion?: number
}

/** Milliseconds by which a job comes back after a lease of another worker ended: by the database's clock it must be over. */
export const AFTER_LEASE_MS = 100
/** A file whose domain's keys are in trouble asks again, until someone has repaired them. */
const KEY_TROUBLE_MS = 30_000
/** A fenced job asks again soon: the record will say whether there is anything left to do. */
export const AFTER_FENCE_MS = 2_000
/** A job that an outage of this worker gave back is soon taken by a worker that has none. */
const AFTER_OUTAGE_MS = 1_000

/** A job whose root is missing here asks again so often; each time it may meet a worker that has it. */
const ROOT_OUT_MS = 5_000

/** Demands that are too high for everybody: the whole fleet slows down, and nothing needs a probe. */
const SLOW_DOWN: ReadonlySet<FailureCode> = new Set<FailureCode>(['S3_THROTTLED', 'HSM_BUSY'])

export interface SettlePorts {
  /** Limits the rate of the whole queue. */
  readonly worker: Pick<Worker, 'rateLimit'>
  /** Opens a breaker of this process. */
  readonly onOutage: (dependency: Guarded, code: FailureCode) => void
}

/**
 * Tells BullMQ what became of a job. Postgres decides about attempts and dead letters, so BullMQ only ever hears: done,
 * later, back to the queue, or dead.
 *
 * - later: `moveToDelayed` + DelayedError. It counts no attempt in BullMQ.
 * - a dependency is out: its breaker opens in this process, so that no more jobs are taken here, and the job goes back with
 *   a small delay, for a worker that reaches it.
 * - a dependency is overloaded: the whole queue is rate limited, so that the fleet slows down together, and the job goes back.
 * - shutting down: `moveToWait` + WaitingError gives the job to another worker at once.
 */
export async function applyOutcome(
  ports: SettlePorts,
  job: Job,
  token: string | undefined,
  outcome: IngestOutcome,
): Promise<IngestReport> {
  switch (outcome.kind) {
    case 'stored':
      return {
        outcome: 'stored',
        attemptId: outcome.object.attemptId,
        attemptNo: outcome.attemptNo,
        objectKey: outcome.object.objectKey,
        plaintextLength: outcome.object.plaintextLength,
        encKeyVersion: outcome.object.encKeyVersion,
      }
    case 'skipped':
      return { outcome: 'skipped', state: outcome.state }
    case 'leased':
      return delay(job, token, outcome.retryInMs + AFTER_LEASE_MS)
    case 'fenced':
      return delay(job, token, AFTER_FENCE_MS)
    case 'conflict':
      throw new UnrecoverableError('REQUEST_CONFLICT: this id stands for another request; that file is untouched')
    case 'unknown-domain':
      throw new UnrecoverableError('PAYLOAD_INVALID: there is no such key domain')
    case 'failed':
      return applyFailure(ports, job, token, outcome)
  }
}

/** @see applyOutcome; the policy's decision is recorded already */
export async function applyFailure(
  ports: SettlePorts,
  job: Job,
  token: string | undefined,
  { failed, decision }: Pick<Extract<IngestOutcome, { kind: 'failed' }>, 'failed' | 'decision'>,
): Promise<IngestReport> {
  const { code, failure } = failed
  switch (decision.action) {
    case 'retry':
      await job.log(`${code}: ${failure.summary} Tried again in ${Math.ceil(decision.delayMs / 1000)} s.`)
      return delay(job, token, decision.delayMs)
    case 'hold':
    case 'pause':
      if (decision.dependency === 'process') return returnToQueue(job, token)
      // One domain's keys are no reason to hold back the files of all others.
      if (code === 'NO_ACTIVE_KEY' || code === 'KEY_MISMATCH') return delay(job, token, KEY_TROUBLE_MS)
      if (SLOW_DOWN.has(code)) {
        await ports.worker.rateLimit(Math.max(1_000, decision.delayMs))
        throw new RateLimitError()
      }
      ports.onOutage(decision.dependency, code)
      return delay(job, token, AFTER_OUTAGE_MS + decision.delayMs)
    case 'dead':
      throw new UnrecoverableError(`${code}: ${failure.summary}`)
    case 'record':
      return { outcome: 'cancelled', state: code }
  }
}

/** Gives a job back to be taken at once, without burning anything. */
export async function returnToQueue(job: Job, token: string | undefined): Promise<never> {
  await job.moveToWait(token)
  throw new WaitingError()
}

/** Gives a job back to be taken a little later, so that a crowd does not come back as one. */
export function delayShortly(job: Job, token: string | undefined): Promise<never> {
  return delay(job, token, AFTER_OUTAGE_MS * (1 + Math.random()))
}

/** Gives back a job whose source this worker cannot reach, for another worker, or for later. */
export function delayUntilRootAvailable(job: Job, token: string | undefined): Promise<never> {
  return delay(job, token, ROOT_OUT_MS * (1 + Math.random()))
}

/** Gives a job back to be taken so much later. */
export async function delay(job: Job, token: string | undefined, delayMs: number): Promise<never> {
  await job.moveToDelayed(Date.now() + delayMs, token)
  throw new DelayedError()
}
