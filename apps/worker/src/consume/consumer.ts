import { classify, type Failure, type FailureCode } from '@sealfleet/failures'
import type { Logger } from '@sealfleet/telemetry'
import { DelayedError, Worker, type Job } from 'bullmq'
import type { Redis } from 'ioredis'

import type { Guarded } from '../health/breaker.js'
import type { Activity } from '../health/activity.js'
import { BrokenJobs } from './broken-jobs.js'
import type { Refusal } from './refusal.js'
import { delayShortly, returnToQueue } from './apply-outcome.js'

/** Why running attempts stop when the process does. Burns no attempt. */
export class ShutdownError extends Error {
  override readonly name = 'ShutdownError'
  readonly code = 'SHUTDOWN'

  constructor() {
    super('the worker is shutting down')
  }
}

/** Jobs a second that no one reaches. */
export const NO_LIMIT = 1_000_000

/**
 * How long BullMQ's lock on a job lasts, and how often jobs without one are looked for, milliseconds. Together they are one
 * lease: a dead worker's job is back in the queue when its file is free, and the two waits are one. Only the lease decides who
 * may commit; a lock that a slow worker loses costs a claim that is told to come later.
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
  /** Throws FLEET_MISMATCH once the queue is another fleet's, or what keeps it from asking. Asked before each job. */
  readonly assertOurs: () => Promise<void>
  /** Hears of every job that begins and ends. */
  readonly activity: Activity
  /** Records a job that cannot be read as a dead letter. */
  readonly refuse: (refusal: Refusal) => Promise<void>
  /** A dependency failed a job, or the queue itself. */
  readonly onOutage: (dependency: Guarded, code: FailureCode) => void
  /** One activation of a job. The signal aborts when the job is cancelled or the worker stops; its reason says which. */
  readonly process: (job: Job<unknown>, token: string | undefined, signal: AbortSignal) => Promise<Report>
}

/** The consumer of one queue: a BullMQ worker, and the way to stop it. */
export interface Consumer<Report> {
  readonly worker: Worker<unknown, Report>
  /** Stops taking jobs, or takes them again; what runs goes on. After `drain` nothing is taken any more. */
  intake(open: boolean): void
  /**
   * Takes no new jobs; waits up to `graceMs` for the running ones, then cancels them: their uploads are aborted and
   * their jobs given back without burning an attempt. Resolves when nothing runs any more.
   */
  drain(graceMs: number): Promise<void>
}

export function startConsumer<Report>(options: ConsumerOptions<Report>): Consumer<Report> {
  const { log, activity, leaseSeconds } = options
  const shutdown = new AbortController()
  let held = false
  let draining = false
  const brokenJobs = new BrokenJobs(options)
  // BullMQ hands over an AbortSignal only to functions of three declared parameters.
  const process = async (job: Job<unknown>, token: string | undefined, cancel?: AbortSignal): Promise<Report> => {
    using _active = activity.began(String(job.id))
    if (shutdown.signal.aborted) return await returnToQueue(job, token)
    // A paused worker of BullMQ may still take the one job that it was waiting for.
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
    // Crashes are counted in Postgres (POISON after three); BullMQ must never bury a job on its own.
    maxStalledCount: 1_000_000,
    // Not a limit in itself: without one, BullMQ ignores `rateLimit`, by which too much demand slows the whole fleet.
    limiter: { max: NO_LIMIT, duration: 1_000 },
  })
  brokenJobs.start()
  worker.on('error', (error) => {
    const { code, failure } = classify(error, { during: 'redis' })
    // Not Redis, but what is in it: a job that BullMQ can't read would come back with each stall, and say the same again.
    if (outageOf(failure) === undefined && !draining) return brokenJobs.look(error)
    log.warn({ code, err: error }, 'queue error')
    // BullMQ asks a Redis that refuses (full, a replica) again at once, forever. Closing says good-bye by errors, too.
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

/** BullMQ is told that the job is elsewhere: it would end it in the key of the queue that has the job's name. */
async function buried(options: ConsumerOptions<unknown>, brokenJobs: BrokenJobs, jobId: string): Promise<never> {
  try {
    await brokenJobs.buryOwnKey(jobId)
  } catch (error) {
    // It stays active without a lock, and is looked for again.
    const { code, failure } = classify(error, { during: 'database' })
    const dependency = outageOf(failure)
    if (dependency !== undefined) options.onOutage(dependency, code)
    brokenJobs.look(error)
  }
  throw new DelayedError()
}

/** A wiped Redis may have become another fleet's since this worker began: what is in it then is not ours to take. */
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

/** Whose outage a failure is; undefined for every other kind of failure. */
export function outageOf({ policy }: Failure): Guarded | undefined {
  const outage = policy.kind === 'hold' || policy.kind === 'pause'
  return outage && policy.dependency !== 'process' ? policy.dependency : undefined
}
