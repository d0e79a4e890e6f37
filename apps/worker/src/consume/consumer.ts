import { backoffStrategy, classify, type Failure, type FailureCode } from '@sealfleet/failures'
import type { Logger } from '@sealfleet/telemetry'
import { DelayedError, Worker, type Job } from 'bullmq'
import type { Redis } from 'ioredis'

import type { Guarded } from '../health/breaker.js'
import type { Activity } from '../health/activity.js'
import { BrokenJobs } from './broken-jobs.js'
import type { Refusal } from './refusal.js'
import { delayShortly, returnToQueue } from './apply-outcome.js'

/** The reason why running attempts stop when the process does. Counts no attempt. */
class ShutdownError extends Error {
  override readonly name = 'ShutdownError'
  readonly code = 'SHUTDOWN'

  constructor() {
    super('the worker is shutting down')
  }
}

/** Jobs per second, too high to be reached. */
export const NO_LIMIT = 1_000_000

/**
 * How long BullMQ's lock on a job lasts, and how often stalled jobs are searched for, milliseconds. Together they are
 * one lease, so a dead worker's job is back in the queue when its file is free. Only the lease decides which worker may
 * commit; a lock that a slow worker loses costs one claim, which is delayed.
 */
export function queueTimes(leaseSeconds: number): { readonly lockDuration: number; readonly stalledInterval: number } {
  return { lockDuration: leaseSeconds * 750, stalledInterval: leaseSeconds * 250 }
}

export interface ConsumerOptions<Report> {
  readonly queue: string
  readonly connection: Redis
  readonly prefix: string
  readonly concurrency: number
  /** Names this process in the queue's locks. */
  readonly workerId: string
  readonly leaseSeconds: number
  readonly log: Logger
  /** Throws FLEET_MISMATCH once the queue is another fleet's, or the error of the check. Called before each job. */
  readonly assertOurs: () => Promise<void>
  /** Notified when a job begins or ends. */
  readonly activity: Activity
  /** Records a job that cannot be read as a dead letter. */
  readonly refuse: (refusal: Refusal) => Promise<void>
  /** Called when a dependency failed a job, or the queue itself failed. */
  readonly onOutage: (dependency: Guarded, code: FailureCode) => void
  /** One activation of a job. The signal aborts when the job is cancelled or the worker stops; its reason says which. */
  readonly process: (job: Job<unknown>, token: string | undefined, signal: AbortSignal) => Promise<Report>
}

/** The consumer of one queue: a BullMQ worker, and the way to stop it. */
export interface Consumer<Report> {
  readonly worker: Worker<unknown, Report>
  /** Stops or resumes taking jobs; running jobs continue. After `drain` no job is taken. */
  intake(open: boolean): void
  /**
   * Takes no new jobs; waits up to `graceMs` for the running ones, then cancels them: their uploads are aborted and
   * their jobs returned without counting an attempt. Resolves when nothing runs any more.
   */
  drain(graceMs: number): Promise<void>
}

export function startConsumer<Report>(options: ConsumerOptions<Report>): Consumer<Report> {
  const { log, activity, leaseSeconds } = options
  const shutdown = new AbortController()
  let held = false
  let draining = false
  const brokenJobs = new BrokenJobs(options)
  // BullMQ passes an AbortSignal only to functions with three declared parameters.
  const process = async (job: Job<unknown>, token: string | undefined, cancel?: AbortSignal): Promise<Report> => {
    using _active = activity.began(String(job.id))
    if (shutdown.signal.aborted) return await returnToQueue(job, token)
    // A paused BullMQ worker may still take the one job that it was waiting for.
    if (held) return await delayShortly(job, token)
    if (!(await isOurs(options))) return await delayShortly(job, token)
    if (brokenJobs.isOwnKey(String(job.id))) return await buried(options, brokenJobs, String(job.id))
    const signal = cancel === undefined ? shutdown.signal : AbortSignal.any([cancel, shutdown.signal])
    return await options.process(job, token, signal)
  }
  const worker = new Worker<unknown, Report>(options.queue, process, {
    connection: options.connection,
    prefix: options.prefix,
    name: options.workerId,
    concurrency: options.concurrency,
    ...queueTimes(leaseSeconds),
    // For an error that no attempt handled. Without it, BullMQ cannot fail the job, which then stays active until it stalls.
    settings: { backoffStrategy },
    // Crashes are counted in Postgres (POISON after three); BullMQ must never fail a job on its own.
    maxStalledCount: 1_000_000,
    // Not a real limit: without one, BullMQ ignores `rateLimit`, which slows the whole fleet on overload.
    limiter: { max: NO_LIMIT, duration: 1_000 },
  })
  brokenJobs.start()
  worker.on('error', (error) => {
    const { code, failure } = classify(error, { during: 'redis' })
    // Not Redis itself, but its data: a job that BullMQ cannot read would come back with each stall and fail again.
    if (outageOf(failure) === undefined && !draining) return brokenJobs.look(error)
    log.warn({ code, err: error }, 'queue error')
    // BullMQ retries a refusing Redis (full, a replica) at once, forever. Closing emits errors, too.
    if (outageOf(failure) === 'redis' && !draining) options.onOutage('redis', code)
  })
  return {
    worker,
    intake: (open) => {
      held = !open
      if (held) void worker.pause(true)
      // In a separate turn: a main loop that has just ended clears its state in microtasks of this turn, and a worker
      // resumed
      // in between would stay without a loop (BullMQ 6.7, `resume` and the `finally` of `run`).
      else {
        setImmediate(() => {
          if (!held && !draining) void worker.resume()
        })
      }
    },
    drain: async (graceMs) => {
      draining = true
      const closed = worker.close().then(() => brokenJobs.close())
      const grace = setTimeout(() => shutdown.abort(new ShutdownError()), graceMs)
      try {
        await closed
      } finally {
        clearTimeout(grace)
      }
    },
  }
}

/** Tells BullMQ that the job was moved: otherwise it would finish the job in the queue's key of that name. */
async function buried(options: ConsumerOptions<unknown>, brokenJobs: BrokenJobs, jobId: string): Promise<never> {
  try {
    await brokenJobs.buryOwnKey(jobId)
  } catch (error) {
    // It stays active without a lock and is found again.
    const { code, failure } = classify(error, { during: 'database' })
    const dependency = outageOf(failure)
    if (dependency !== undefined) options.onOutage(dependency, code)
    brokenJobs.look(error)
  }
  throw new DelayedError()
}

/** A wiped Redis may have become another fleet's since this worker started: its jobs must then not be taken. */
async function isOurs({ assertOurs, onOutage, log }: ConsumerOptions<unknown>): Promise<boolean> {
  try {
    await assertOurs()
    return true
  } catch (error) {
    const { code, failure } = classify(error, { during: 'redis' })
    const dependency = outageOf(failure)
    if (dependency === undefined) throw error
    log.error({ code, err: error }, failure.summary)
    onOutage(dependency, code)
    return false
  }
}

/** The dependency whose outage a failure is; undefined for every other failure. */
export function outageOf({ policy }: Failure): Guarded | undefined {
  const outage = policy.kind === 'hold' || policy.kind === 'pause'
  return outage && policy.dependency !== 'process' ? policy.dependency : undefined
}
