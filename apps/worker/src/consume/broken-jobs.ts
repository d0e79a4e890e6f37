import { classify } from '@sealfleet/failures'
import {
  findBrokenJobs,
  findStrayJobs,
  isOwnKey,
  isWrongType,
  putBackStrayJobs,
  queueOptions,
  removeBrokenJob,
  type BrokenJob,
} from '@sealfleet/queue'
import type { Logger } from '@sealfleet/telemetry'
import { Queue } from 'bullmq'
import type { Redis } from 'ioredis'

import type { Refusal } from './refusal.js'

export interface BrokenJobsOptions {
  readonly queue: string
  readonly connection: Redis
  readonly prefix: string
  readonly log: Logger
  readonly refuse: (refusal: Refusal) => Promise<void>
}

/**
 * Removes the jobs of one queue that BullMQ cannot read: each becomes a dead letter with its id and leaves the queue.
 * The dead letter is written first; while Postgres is away, the job stays and is found again when its lock has run out.
 */
export class BrokenJobs {
  readonly #options: BrokenJobsOptions
  readonly #queue: Queue
  #looking: Promise<void> | undefined
  #again = false
  #strays = false
  #said = ''

  constructor(options: BrokenJobsOptions) {
    const { connection, prefix } = options
    this.#options = options
    this.#queue = new Queue(options.queue, { connection, ...queueOptions(prefix), skipMetasUpdate: true })
    this.#queue.on('error', () => undefined)
  }

  /** Searches for them after this error of the queue. One search at a time; an error meanwhile starts another. */
  look(because: unknown): void {
    this.#again = true
    this.#strays ||= isWrongType(because)
    this.#looking ??= this.#run(because).finally(() => (this.#looking = undefined))
  }

  /** Whether a job's hash would be a key of the queue itself: BullMQ delivers such a job, but must not finish it. */
  isOwnKey(jobId: string): boolean {
    return isOwnKey(this.#queue, jobId)
  }

  /**
   * Removes a delivered one. @throws what Postgres and Redis throw; then it is found again when its lock has run out
   */
  async buryOwnKey(jobId: string): Promise<void> {
    await this.#bury({ jobId, reason: 'its id is the name of a key of the queue itself' })
  }

  /**
   * Searches once without an error: finds jobs left active by an earlier version or by hand before BullMQ fails on
   * them.
   */
  start(): void {
    this.look(undefined)
  }

  async close(): Promise<void> {
    await this.#looking
    await this.#queue.close()
  }

  async #run(because: unknown): Promise<void> {
    const { log } = this.#options
    let buried = 0
    try {
      while (this.#again) {
        this.#again = false
        buried += await this.#buryAll()
      }
    } catch (error) {
      log.warn({ code: classify(error).code, err: error }, 'the search for broken jobs failed')
    }
    if (buried > 0 || because === undefined) return
    // Nothing found explains the error: logged once, not repeatedly.
    const said = because instanceof Error ? `${because.name} ${because.message}` : ''
    if (said !== this.#said) log.warn({ code: classify(because).code, err: because }, 'queue error')
    this.#said = said
  }

  async #buryAll(): Promise<number> {
    const { connection, log } = this.#options
    const broken = await findBrokenJobs(this.#queue, connection)
    for (const job of broken) await this.#bury(job)
    if (!this.#strays) return broken.length
    const strays = await findStrayJobs(this.#queue, connection)
    for (const job of strays.broken) await this.#bury(job)
    const count = await putBackStrayJobs(this.#queue, connection, strays.sound)
    this.#strays = false
    if (count > 0) log.warn({ count }, 'jobs that a broken one had removed from the queue were put back')
    return broken.length + strays.broken.length
  }

  async #bury({ jobId, reason }: BrokenJob): Promise<void> {
    const { connection, log, refuse } = this.#options
    await refuse({ jobId, code: 'PAYLOAD_INVALID', reason: `the job cannot be read: ${reason}` })
    await removeBrokenJob(this.#queue, connection, jobId)
    log.warn({ jobId, code: 'PAYLOAD_INVALID', reason }, 'job refused')
  }
}
