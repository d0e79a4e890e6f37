import { randomBytes } from 'node:crypto'

import { classify, decide, CodedError, type FailureCode } from '@sealfleet/failures'
import { parseRekeyJob, QUEUES } from '@sealfleet/queue'
import type { Logger } from '@sealfleet/telemetry'
import { UnrecoverableError, type Job } from 'bullmq'
import type { Redis } from 'ioredis'

import { UnrecordedError } from '../attempt/unrecorded-failures.js'
import type { Guarded } from '../health/breaker.js'
import type { RekeyEnd, RekeyPorts } from '../attempt/rekey/ports.js'
import { rekeyItem, type RekeyOutcome } from '../attempt/rekey/rekey-item.js'
import type { Activity } from '../health/activity.js'
import { startConsumer, type Consumer } from './consumer.js'
import type { Refusal } from './refusal.js'
import { AFTER_FENCE_MS, AFTER_LEASE_MS, delay, applyFailure } from './apply-outcome.js'

export interface RekeyWorkerOptions {
  readonly connection: Redis
  readonly prefix: string
  readonly concurrency: number
  /** Names this process in leases and logs. */
  readonly workerId: string
  readonly ports: RekeyPorts
  /** Throws FLEET_MISMATCH once the queue is another fleet's. */
  readonly assertOurs: () => Promise<void>
  readonly log: Logger
  readonly activity: Activity
  /** Called when a dependency failed a job, or the queue itself failed. */
  readonly onOutage: (dependency: Guarded, code: FailureCode) => void
  /** Called with an outcome that has to be recorded later. */
  readonly onUnrecorded: (owed: RekeyEnd) => void
  /** Records an invalid job as a dead letter. */
  readonly refuse: (refusal: Refusal) => Promise<void>
  readonly onOutcome?: (outcome: RekeyOutcome, seconds: number) => void
}

/** For observers of the job while it exists. Nothing secret. */
export interface RekeyReport {
  readonly outcome: string
}

export type RekeyWorker = Consumer<RekeyReport>

/** The rekey queue's consumer. The result of a job is not used: the item's row decides what is next. */
export function startRekeyWorker(options: RekeyWorkerOptions): RekeyWorker {
  const { log, ports } = options
  const consumer: RekeyWorker = startConsumer<RekeyReport>({
    ...options,
    queue: QUEUES.rekey,
    leaseSeconds: ports.leaseSeconds,
    process: async (job, token, signal) => {
      const startedAt = performance.now()
      // One owner per activation: two deliveries of one job inside one process must not share a lease.
      const owner = `${options.workerId}/${randomBytes(6).toString('hex')}`
      const outcome = await rekeyOrHold(options, { itemId: await itemOf(options, job), owner }, signal)
      const seconds = (performance.now() - startedAt) / 1000
      options.onOutcome?.(outcome, seconds)
      logOutcome(log, job, outcome, seconds)
      return await settleRekey(options, consumer, job, token, outcome)
    },
  })
  return consumer
}

async function itemOf({ refuse, log }: RekeyWorkerOptions, job: Job<unknown>): Promise<string> {
  try {
    return parseRekeyJob(job.data).id
  } catch (error) {
    if (!(error instanceof CodedError)) throw error
    await refuse({ jobId: String(job.id), code: 'PAYLOAD_INVALID', reason: error.message })
    log.warn({ jobId: job.id, code: error.code }, 'job refused')
    throw new UnrecoverableError(`${error.code}: ${error.message}`)
  }
}

/** A failure that could not be recorded is an outage of the database: hold, and record it afterwards. */
async function rekeyOrHold(
  { ports, onUnrecorded }: RekeyWorkerOptions,
  item: { readonly itemId: string; readonly owner: string },
  signal: AbortSignal,
): Promise<RekeyOutcome> {
  try {
    return await rekeyItem(ports, item, signal)
  } catch (error) {
    if (error instanceof UnrecordedError) onUnrecorded((error as UnrecordedError<RekeyEnd>).owed)
    const failed = classify(error, { during: 'database' })
    return { kind: 'failed', failed, error, decision: decide(failed.failure, { counted: 1 }) }
  }
}

async function settleRekey(
  options: RekeyWorkerOptions,
  { worker }: RekeyWorker,
  job: Job,
  token: string | undefined,
  outcome: RekeyOutcome,
): Promise<RekeyReport> {
  switch (outcome.kind) {
    case 'leased':
      return delay(job, token, outcome.retryInMs + AFTER_LEASE_MS)
    case 'fenced':
      return delay(job, token, AFTER_FENCE_MS)
    case 'failed':
      // The next try gets another job from the dispatcher when it is due.
      if (outcome.decision.action === 'retry') return { outcome: 'retry' }
      return applyFailure({ worker, onOutage: options.onOutage }, job, token, outcome)
    default:
      return { outcome: outcome.kind }
  }
}

function logOutcome(log: Logger, job: Job, outcome: RekeyOutcome, seconds: number): void {
  const base = { jobId: job.id, outcome: outcome.kind, durationMs: Math.round(seconds * 1000) }
  if (outcome.kind === 'done') {
    const { fileId, attemptNo, runId } = outcome.claim
    const { attemptId, plaintextLength: bytes, encKeyVersion } = outcome.object
    log.info({ ...base, runId, fileId, attemptNo, attemptId, bytes, encKeyVersion }, 're-encrypted')
  } else if (outcome.kind === 'failed') {
    const { claim, failed, error, decision } = outcome
    const { code, failure } = failed
    const file = claim === undefined ? {} : { fileId: claim.fileId, runId: claim.runId }
    const line = { ...base, ...file, code, class: failure.class, reason: decision.action, err: error }
    log[failure.page ? 'error' : 'warn'](line, failure.summary)
  } else {
    log.info(base, outcome.kind)
  }
}
