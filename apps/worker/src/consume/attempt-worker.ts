import { type AttemptOutcome, type Owed, UnrecordedError } from '@sealfleet/attempts'
import { randomBytes } from 'node:crypto'

import { classify, CodedError, decide } from '@sealfleet/failures'
import type { Logger } from '@sealfleet/telemetry'
import { UnrecoverableError, type Job } from 'bullmq'

import { applyOutcome, delayShortly, type JobReport, type UnfinishedOutcome } from './apply-outcome.js'
import { outageOf, startConsumer, type Consumer, type ConsumerOptions } from './consumer.js'
import type { Refusal } from './refusal.js'

/** How the jobs of one queue differ from those of the other. */
export interface JobKind<Asked> {
  readonly queue: string
  /** What the job asks for. Throws a CodedError for a job that is refused. */
  readonly read: (data: unknown) => Asked
  /** One attempt at it; `owner` names this activation of the job. */
  readonly attempt: (asked: Asked, owner: string, signal: AbortSignal, job: Job) => Promise<AttemptOutcome>
  /** Called before an attempt; returns the job to the queue (and throws) when this worker cannot make one. */
  readonly before?: (asked: Asked, job: Job, token: string | undefined) => Promise<void>
  /** A dead letter that the outcome asks for. */
  readonly refusal?: (asked: Asked, outcome: AttemptOutcome, jobId: string | undefined) => Refusal | undefined
  /** Of the file, for log lines of an outcome without a claim. */
  readonly fileId?: (asked: Asked) => string
  /** The outcome's name in log lines and reports. */
  readonly word: (outcome: AttemptOutcome) => string
  /** The message of an attempt that stored its object. */
  readonly storedMessage: string
  /** Whether an attempt that is to be repeated gets another job. Otherwise this one comes back later. */
  readonly retriedByAnotherJob: boolean
  readonly onOutcome: (asked: Asked, outcome: AttemptOutcome, seconds: number) => void
}

export type AttemptWorkerOptions = Omit<ConsumerOptions<JobReport>, 'queue' | 'process'> & {
  /** Called with an outcome that has to be recorded later. */
  readonly onUnrecorded: (owed: Owed) => void
}

export type AttemptWorker = Consumer<JobReport>

/** Takes the jobs of a queue: each activation is one attempt. */
export function startAttemptWorker<Asked>(options: AttemptWorkerOptions, kind: JobKind<Asked>): AttemptWorker {
  const { workerId, log, onOutage } = options
  const process = async (job: Job<unknown>, token: string | undefined, signal: AbortSignal): Promise<JobReport> => {
    const startedAt = performance.now()
    const asked = await readOrRefuse(options, kind, job, token)
    await kind.before?.(asked, job, token)
    // One owner per activation: two deliveries of one job inside one process must not share a lease.
    const owner = `${workerId}/${randomBytes(6).toString('hex')}`
    const outcome = await attemptOrHold(options, () => kind.attempt(asked, owner, signal, job))
    const refusal = kind.refusal?.(asked, outcome, job.id)
    if (refusal !== undefined) await refuseOrHold(options, job, token, refusal)
    const seconds = (performance.now() - startedAt) / 1000
    kind.onOutcome(asked, outcome, seconds)
    logOutcome(log, kind, { jobId: job.id, fileId: kind.fileId?.(asked) }, outcome, seconds)
    if (!isUnfinished(outcome)) return reportOf(kind, outcome)
    if (outcome.kind === 'failed' && outcome.decision.action === 'retry' && kind.retriedByAnotherJob)
      return { outcome: 'retry' }
    return await applyOutcome({ worker: consumer.worker, onOutage }, job, token, outcome)
  }
  const consumer = startConsumer<JobReport>({ ...options, queue: kind.queue, process })
  return consumer
}

/** Records a job that cannot be taken as a dead letter without a file, and ends it. */
async function readOrRefuse<Asked>(
  options: AttemptWorkerOptions,
  kind: JobKind<Asked>,
  job: Job<unknown>,
  token: string | undefined,
): Promise<Asked> {
  try {
    return kind.read(job.data)
  } catch (error) {
    if (!(error instanceof CodedError)) throw error
    const { code, message: reason } = error
    await refuseOrHold(options, job, token, { jobId: String(job.id), code, reason })
    options.log.warn({ jobId: job.id, code }, 'job refused')
    throw new UnrecoverableError(`${code}: ${reason}`)
  }
}

/** A refusal that cannot be recorded because of an outage leaves the job in the queue. */
async function refuseOrHold(
  { refuse, onOutage }: AttemptWorkerOptions,
  job: Job<unknown>,
  token: string | undefined,
  refusal: Refusal,
): Promise<void> {
  try {
    await refuse(refusal)
  } catch (error) {
    const { code, failure } = classify(error, { during: 'database' })
    const dependency = outageOf(failure)
    if (dependency === undefined) throw error
    onOutage(dependency, code)
    await delayShortly(job, token)
  }
}

/** A failure that could not be recorded is an outage of the database: hold, and record it afterwards. */
async function attemptOrHold(
  { onUnrecorded }: AttemptWorkerOptions,
  attempt: () => Promise<AttemptOutcome>,
): Promise<AttemptOutcome> {
  try {
    return await attempt()
  } catch (error) {
    if (error instanceof UnrecordedError) onUnrecorded(error.owed)
    const failed = classify(error, { during: 'database' })
    return { kind: 'failed', failed, error, decision: decide(failed.failure, { counted: 1 }) }
  }
}

function isUnfinished(outcome: AttemptOutcome): outcome is UnfinishedOutcome {
  return outcome.kind === 'leased' || outcome.kind === 'fenced' || outcome.kind === 'failed'
}

function reportOf(
  { word }: Pick<JobKind<never>, 'word'>,
  outcome: Exclude<AttemptOutcome, UnfinishedOutcome>,
): JobReport {
  switch (outcome.kind) {
    case 'stored': {
      const { attemptId, objectKey, plaintextLength, encKeyVersion } = outcome.object
      const { attemptNo } = outcome.claim
      return { outcome: word(outcome), attemptId, attemptNo, objectKey, plaintextLength, encKeyVersion }
    }
    case 'skipped':
      return { outcome: word(outcome), state: outcome.state }
    case 'halted':
      return { outcome: word(outcome) }
    case 'conflict':
      throw new UnrecoverableError('REQUEST_CONFLICT: this id stands for another request; that file is untouched')
    case 'unknown-domain':
      throw new UnrecoverableError('PAYLOAD_INVALID: there is no such key domain')
  }
}

function logOutcome(
  log: Logger,
  { word, storedMessage }: Pick<JobKind<never>, 'word' | 'storedMessage'>,
  job: { readonly jobId: string | undefined; readonly fileId: string | undefined },
  outcome: AttemptOutcome,
  seconds: number,
): void {
  const { runId, fileId = job.fileId } = ('claim' in outcome ? outcome.claim : undefined) ?? {}
  const base = { jobId: job.jobId, runId, fileId, outcome: word(outcome), durationMs: Math.round(seconds * 1000) }
  if (outcome.kind === 'stored') {
    const { attemptId, plaintextLength: bytes, encKeyVersion } = outcome.object
    log.info({ ...base, attemptNo: outcome.claim.attemptNo, attemptId, bytes, encKeyVersion }, storedMessage)
  } else if (outcome.kind === 'failed') {
    const { failed, error, decision } = outcome
    const { code, failure } = failed
    const line = { ...base, code, class: failure.class, reason: decision.action, err: error }
    log[failure.page ? 'error' : 'warn'](line, failure.summary)
  } else {
    log.info(base, word(outcome))
  }
}
