import { randomBytes } from 'node:crypto'

import { classify, decide, CodedError, type FailureCode } from '@sealfleet/failures'
import { decodeContext, fingerprintOf, ingestJobId, parseIngestJob, QUEUES, type IngestJobV1 } from '@sealfleet/queue'
import type { Logger } from '@sealfleet/telemetry'
import { UnrecoverableError, type Job } from 'bullmq'
import type { Redis } from 'ioredis'

import { ingest, type IngestOutcome } from '../attempt/ingest.js'
import { UnrecordedError } from '../attempt/unrecorded-failures.js'
import type { ClaimRequest, FailInput, IngestPorts } from '../attempt/ports.js'
import type { Guarded } from '../health/breaker.js'
import type { UnavailableRoots } from '../health/unavailable-roots.js'
import type { Activity } from '../health/activity.js'
import { outageOf, startConsumer, type Consumer } from './consumer.js'
import { throttledProgress } from './progress.js'
import type { Refusal } from './refusal.js'
import { delayShortly, delayUntilRootAvailable, applyOutcome, type IngestReport } from './apply-outcome.js'

export interface IngestWorkerOptions {
  readonly connection: Redis
  readonly prefix: string
  readonly concurrency: number
  /** Names this process in leases and logs. */
  readonly workerId: string
  readonly ports: IngestPorts
  /** Throws FLEET_MISMATCH once the queue is another fleet's. */
  readonly assertOurs: () => Promise<void>
  /** The fleet ids whose jobs are accepted: this fleet, and those it took over from. */
  readonly fleets: readonly string[]
  /** Records a request that can never become a file of its own: a dead letter without a file. */
  readonly refuse: (refusal: Refusal) => Promise<void>
  readonly log: Logger
  /** Notified when a job begins or ends. */
  readonly activity: Activity
  /** Called when a dependency failed a job, or the queue itself failed. */
  readonly onOutage: (dependency: Guarded, code: FailureCode) => void
  /** Called with an outcome that has to be recorded later. */
  readonly onUnrecorded: (owed: FailInput) => void
  /** Roots whose folder is missing here. */
  readonly rootsOut: Pick<UnavailableRoots, 'has' | 'lost'>
  readonly onOutcome?: (outcome: IngestOutcome, seconds: number) => void
}

/** The ingest queue's consumer. */
export type IngestWorker = Consumer<IngestReport>

export function startIngestWorker(options: IngestWorkerOptions): IngestWorker {
  const { log, ports } = options
  const process = async (job: Job<unknown>, token: string | undefined, signal: AbortSignal): Promise<IngestReport> => {
    const startedAt = performance.now()
    const request = await requestFrom(options, job, token)
    if (options.rootsOut.has(request.root)) return await delayUntilRootAvailable(job, token)
    const outcome = await ingestOrHold(options, request, { signal, onProgress: throttledProgress(job) })
    if (outcome.kind === 'conflict' || outcome.kind === 'unknown-domain') {
      await refuseOrHold(options, job, token, refusalOf(job, request, outcome.kind))
    }
    const seconds = (performance.now() - startedAt) / 1000
    options.onOutcome?.(outcome, seconds)
    logOutcome(log, job, request, outcome, seconds)
    if (outcome.kind === 'failed' && outcome.failed.code === 'ROOT_UNAVAILABLE') options.rootsOut.lost(request.root)
    return await applyOutcome({ worker: consumer.worker, onOutage: options.onOutage }, job, token, outcome)
  }
  const consumer = startConsumer<IngestReport>({
    ...options,
    queue: QUEUES.ingest,
    leaseSeconds: ports.leaseSeconds,
    process,
  })
  return consumer
}

async function requestFrom(
  options: IngestWorkerOptions,
  job: Job<unknown>,
  token: string | undefined,
): Promise<ClaimRequest> {
  let data: IngestJobV1
  try {
    data = parseIngestJob(job.data)
  } catch (error) {
    if (!(error instanceof CodedError)) throw error
    return await refused(options, job, token, 'PAYLOAD_INVALID', error.message)
  }
  // The other fleet has the file in its database and will give it another job.
  if (data.fleet !== undefined && !options.fleets.includes(data.fleet))
    return await refused(options, job, token, 'FLEET_MISMATCH', `the job is one of fleet ${data.fleet}`)
  return {
    fileId: data.fileId,
    generation: data.generation,
    domain: data.domain,
    root: data.source.root,
    path: data.source.path,
    context: decodeContext(data.context),
    fingerprint: fingerprintOf(data),
    // One owner per activation: two deliveries of one job inside one process must not share a lease.
    owner: `${options.workerId}/${randomBytes(6).toString('hex')}`,
    leaseSeconds: options.ports.leaseSeconds,
  }
}

/** Records a job that cannot be taken as a dead letter without a file, and ends it. */
async function refused(
  options: IngestWorkerOptions,
  job: Job<unknown>,
  token: string | undefined,
  code: Refusal['code'],
  reason: string,
): Promise<never> {
  await refuseOrHold(options, job, token, { jobId: String(job.id), code, reason })
  options.log.warn({ jobId: job.id, code }, 'job refused')
  throw new UnrecoverableError(`${code}: ${reason}`)
}

/** A refusal that cannot be recorded because of an outage leaves the job in the queue. */
async function refuseOrHold(
  options: IngestWorkerOptions,
  job: Job<unknown>,
  token: string | undefined,
  refusal: Refusal,
): Promise<void> {
  try {
    await options.refuse(refusal)
  } catch (error) {
    const { code, failure } = classify(error, { during: 'database' })
    const dependency = outageOf(failure)
    if (dependency === undefined) throw error
    options.onOutage(dependency, code)
    await delayShortly(job, token)
  }
}

/** A failure that could not be recorded is an outage of the database: hold, and record it afterwards. */
async function ingestOrHold(
  { ports, onUnrecorded }: IngestWorkerOptions,
  request: ClaimRequest,
  options: Parameters<typeof ingest>[2],
): Promise<IngestOutcome> {
  try {
    return await ingest(ports, request, options)
  } catch (error) {
    if (error instanceof UnrecordedError) onUnrecorded((error as UnrecordedError<FailInput>).owed)
    const failed = classify(error, { during: 'database' })
    return { kind: 'failed', failed, error, decision: decide(failed.failure, { counted: 1 }) }
  }
}

function refusalOf(job: Job, request: ClaimRequest, kind: 'conflict' | 'unknown-domain'): Refusal {
  const jobId = job.id ?? ingestJobId(request.fileId, request.generation)
  if (kind === 'unknown-domain')
    return { jobId, code: 'PAYLOAD_INVALID', reason: `there is no key domain ${request.domain}` }
  return {
    jobId,
    code: 'REQUEST_CONFLICT',
    reason: `file ${request.fileId} is another request; the job named ${request.root}:${request.path}`,
    fileId: request.fileId,
    fingerprint: request.fingerprint,
  }
}

function logOutcome(log: Logger, job: Job, request: ClaimRequest, outcome: IngestOutcome, seconds: number): void {
  const base = { jobId: job.id, fileId: request.fileId, outcome: outcome.kind, durationMs: Math.round(seconds * 1000) }
  if (outcome.kind === 'stored') {
    const { attemptId, plaintextLength, encKeyVersion } = outcome.object
    log.info({ ...base, attemptId, attemptNo: outcome.attemptNo, bytes: plaintextLength, encKeyVersion }, 'stored')
  } else if (outcome.kind === 'failed') {
    const { code, failure } = outcome.failed
    const level = failure.page ? 'error' : 'warn'
    log[level](
      { ...base, code, class: failure.class, reason: outcome.decision.action, err: outcome.error },
      failure.summary,
    )
  } else {
    log.info(base, outcome.kind)
  }
}
