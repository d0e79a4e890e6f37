import { randomBytes } from 'node:crypto'

import {
  classify,
  decide,
  decodeContext,
  fingerprintOf,
  ingestJobId,
  JobsError,
  parseIngestJob,
  QUEUES,
  type Failure,
  type FailureCode,
  type IngestJobV1,
} from '@sealfleet/jobs'
import type { Logger } from '@sealfleet/telemetry'
import { UnrecoverableError, Worker, type Job } from 'bullmq'
import type { Redis } from 'ioredis'

import { ingest, type IngestOutcome } from '../attempt/ingest.js'
import { UnrecordedError } from '../attempt/owed.js'
import type { ClaimRequest, FailInput, IngestPorts } from '../attempt/ports.js'
import type { Guarded } from '../breakers/breaker.js'
import type { RootsOut } from '../breakers/roots-out.js'
import type { Activity } from '../watchdog/activity.js'
import { backSoon, backToTheQueue, backWhenRootsAre, settle, type IngestReport } from './settle.js'
import { throttledProgress } from './progress.js'

/** Why running attempts stop when the process does. Burns no attempt. */
export class ShutdownError extends Error {
  override readonly name = 'ShutdownError'
  readonly code = 'SHUTDOWN'

  constructor() {
    super('the worker is shutting down')
  }
}

/** Jobs a second that nobody reaches. */
export const NO_LIMIT = 1_000_000

export interface IngestWorkerOptions {
  readonly connection: Redis
  readonly prefix: string
  readonly concurrency: number
  /** Names this process in leases and logs. */
  readonly workerId: string
  readonly ports: IngestPorts
  /** Records a request that can never become a file of its own: a dead letter without a file. */
  readonly refuse: (refusal: Refusal) => Promise<void>
  readonly log: Logger
  /** Hears of every job that begins and ends. */
  readonly activity: Activity
  /** A dependency failed a job, or the queue itself. */
  readonly onOutage: (dependency: Guarded, code: FailureCode) => void
  /** The end of an attempt that somebody has to record later. */
  readonly onUnrecorded: (owed: FailInput) => void
  /** Roots whose folder is missing here. */
  readonly rootsOut: Pick<RootsOut, 'has' | 'lost'>
  readonly onOutcome?: (outcome: IngestOutcome, seconds: number) => void
}

export interface Refusal {
  readonly jobId: string
  readonly code: 'PAYLOAD_INVALID' | 'REQUEST_CONFLICT'
  readonly reason: string
  readonly fileId?: string
  readonly fingerprint?: Buffer
}

/** The ingest queue's consumer: a BullMQ worker, and the way to stop it. */
export interface IngestWorker {
  readonly worker: Worker<unknown, IngestReport>
  /** Stops taking jobs, or takes them again; what runs goes on. After `drain` nothing is taken any more. */
  intake(open: boolean): void
  /**
   * Takes no new jobs; waits up to `graceMs` for the running ones, then cancels them: their uploads are aborted and
   * their jobs given back without burning an attempt. Resolves when nothing runs any more.
   */
  drain(graceMs: number): Promise<void>
}

export function startIngestWorker(options: IngestWorkerOptions): IngestWorker {
  const { log, ports, activity } = options
  const shutdown = new AbortController()
  let held = false
  let draining = false
  // BullMQ hands over an AbortSignal only to functions of three declared parameters.
  const process = async (job: Job<unknown>, token: string | undefined, cancel?: AbortSignal): Promise<IngestReport> => {
    using _active = activity.began(String(job.id))
    const startedAt = performance.now()
    if (shutdown.signal.aborted) return await backToTheQueue(job, token)
    // A paused worker of BullMQ may still take the one job that it was waiting for.
    if (held) return await backSoon(job, token)
    const request = await requestFrom(options, job, token)
    if (options.rootsOut.has(request.root)) return await backWhenRootsAre(job, token)
    const signal = cancel === undefined ? shutdown.signal : AbortSignal.any([cancel, shutdown.signal])
    const outcome = await ingestOrHold(options, request, { signal, onProgress: throttledProgress(job) })
    if (outcome.kind === 'conflict' || outcome.kind === 'unknown-domain') {
      await refuseOrHold(options, job, token, refusalOf(job, request, outcome.kind))
    }
    const seconds = (performance.now() - startedAt) / 1000
    options.onOutcome?.(outcome, seconds)
    logOutcome(log, job, request, outcome, seconds)
    if (outcome.kind === 'failed' && outcome.failed.code === 'ROOT_UNAVAILABLE') options.rootsOut.lost(request.root)
    return await settle({ worker, onOutage: options.onOutage }, job, token, outcome)
  }
  const worker = new Worker<unknown, IngestReport>(QUEUES.ingest, process, {
    connection: options.connection,
    prefix: options.prefix,
    name: options.workerId,
    concurrency: options.concurrency,
    // As long as the lease in Postgres, so that a dead worker's job and its file come free at about the same time.
    lockDuration: ports.leaseSeconds * 1000,
    stalledInterval: ports.leaseSeconds * 500,
    // Crashes are counted in Postgres (POISON after three); BullMQ must never bury a job on its own.
    maxStalledCount: 1_000_000,
    // Not a limit in itself: without one, BullMQ ignores `rateLimit`, by which too much demand slows the whole fleet.
    limiter: { max: NO_LIMIT, duration: 1_000 },
  })
  worker.on('error', (error) => {
    const { code, failure } = classify(error, { during: 'redis' })
    log.warn({ code, err: error }, 'queue trouble')
    // BullMQ asks a Redis that refuses (full, a replica) again at once, for ever. Closing says good-bye by errors, too.
    if (outageOf(failure) === 'redis' && !draining) options.onOutage('redis', code)
  })
  return {
    worker,
    intake: (open) => {
      held = !open
      if (held) void worker.pause(true)
      // In a turn of its own: a main loop that has just run out says so in the microtasks of this one, and a worker resumed
      // in between would stay without a loop (BullMQ 6.7, `resume` and the `finally` of `run`).
      else {
        setImmediate(() => {
          if (!held && !draining) void worker.resume()
        })
      }
    },
    drain: async (graceMs) => {
      draining = true
      const closed = worker.close()
      const grace = setTimeout(() => shutdown.abort(new ShutdownError()), graceMs)
      try {
        await closed
      } finally {
        clearTimeout(grace)
      }
    },
  }
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
    if (!(error instanceof JobsError)) throw error
    const jobId = String(job.id)
    await refuseOrHold(options, job, token, { jobId, code: 'PAYLOAD_INVALID', reason: error.message })
    options.log.warn({ jobId: job.id, code: 'PAYLOAD_INVALID' }, 'job refused')
    throw new UnrecoverableError(`PAYLOAD_INVALID: ${error.message}`)
  }
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

/** A refusal that an outage keeps from being recorded leaves the job where it was: in the queue. */
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
    await backSoon(job, token)
  }
}

/** Whose outage a failure is; undefined for every other kind of failure. */
function outageOf({ policy }: Failure): Guarded | undefined {
  const outage = policy.kind === 'hold' || policy.kind === 'pause'
  return outage && policy.dependency !== 'process' ? policy.dependency : undefined
}

/** A failure that could not even be recorded is an outage of the database: hold, and record it when that is over. */
async function ingestOrHold(
  { ports, onUnrecorded }: IngestWorkerOptions,
  request: ClaimRequest,
  options: Parameters<typeof ingest>[2],
): Promise<IngestOutcome> {
  try {
    return await ingest(ports, request, options)
  } catch (error) {
    if (error instanceof UnrecordedError) onUnrecorded(error.owed)
    const failed = classify(error, { during: 'database' })
    return { kind: 'failed', failed, error, decision: decide(failed.failure, { burned: 1 }) }
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
