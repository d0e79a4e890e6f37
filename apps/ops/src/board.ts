import { createBullBoard } from '@bull-board/api'
import { BullMQAdapter } from '@bull-board/api/bullMQAdapter'
import { ExpressAdapter } from '@bull-board/express'
import type { Logger } from '@sealfleet/telemetry'
import type { Job, Queue } from 'bullmq'
import type { Express, RequestHandler } from 'express'
import type { Redis } from 'ioredis'
import { answerTo } from './failure.js'
import { countJobs, jobIds, readJob, unlessBroken } from './queue-look.js'
import { shownJobData, shownProgress, shownReport, shownRequestData } from './shown-data.js'

export interface BoardOptions {
  readonly queues: readonly Queue[]
  /** The connection of the queues. */
  readonly redis: Redis
  readonly basePath: string
  readonly log: Logger
}

/** Bull Board over the given queues, read-only, mounted at `basePath`. */
export function createBoard({ queues, redis, basePath, log }: BoardOptions): RequestHandler {
  const serverAdapter = new ExpressAdapter()
  serverAdapter.setBasePath(basePath)
  createBullBoard({
    queues: queues.map((queue) => adapterFor(queue, redis)),
    serverAdapter,
    options: {
      uiConfig: {
        boardTitle: 'Sealfleet',
        // Redis's own figures (version, memory, clients) are not shown; /metrics has what matters.
        hideRedisDetails: true,
        pollingInterval: { showSetting: true, forceInterval: -1 },
      },
    },
  })
  // Bull Board's own handler shows the error, and with NODE_ENV=development the stack.
  serverAdapter.setErrorHandler((error) => {
    const { status, message } = answerTo(error, log)
    return { status, body: { error: { key: 'ERRORS.INTERNAL_SERVER_ERROR' }, message } }
  })
  // Typed `any` by its package; it is an Express application, which is a request handler.
  const router = serverAdapter.getRouter() as Express
  router.disable('x-powered-by')
  return router
}

function adapterFor(queue: Queue, redis: Redis): BullMQAdapter {
  const adapter = new ReadingAdapter(queue, redis)
  // Anyone with access to Redis can choose a job's name; ours have the queue's name.
  adapter.setFormatter('name', (job: { readonly name?: unknown }) =>
    job.name === queue.name ? queue.name : 'not ours',
  )
  adapter.setFormatter('data', queue.name === 'ingest' ? shownJobData : shownRequestData)
  adapter.setFormatter('returnValue', shownReport)
  adapter.setFormatter('progress', shownProgress)
  return adapter
}

/** Reads job by job, where Bull Board reads a page of them at once or not at all. */
class ReadingAdapter extends BullMQAdapter {
  readonly #queue: Queue
  readonly #redis: Redis

  constructor(queue: Queue, redis: Redis) {
    super(queue, { readOnlyMode: true, allowRetries: false })
    this.#queue = queue
    this.#redis = redis
  }

  override async getJob(id: string): Promise<Job | undefined> {
    const states = await unlessBroken(this.#queue.getJobState(id), 'unknown')
    const known = states !== 'unknown' || (await this.#redis.exists(this.#queue.toKey(id))) === 1
    return known ? readJob(this.#queue, this.#redis, id) : undefined
  }

  override async getJobs(states: Parameters<BullMQAdapter['getJobs']>[0], start = 0, end = -1): Promise<Job[]> {
    // BullMQ keeps the jobs of a paused queue among the waiting ones.
    const known = states.filter((state): state is Exclude<typeof state, 'paused'> => state !== 'paused')
    const ids = await jobIds(this.#queue, known, { start, end })
    return Promise.all(ids.map((id) => readJob(this.#queue, this.#redis, id)))
  }

  override async getJobCounts(): ReturnType<BullMQAdapter['getJobCounts']> {
    const counts = await countJobs(this.#queue, COUNTED)
    return { ...counts, paused: 0 }
  }

  override isPaused(): Promise<boolean> {
    return unlessBroken(super.isPaused(), false)
  }

  override getGlobalConcurrency(): Promise<number | null> {
    return unlessBroken(super.getGlobalConcurrency(), null)
  }

  // These queues have no logs, flows or schedules of jobs: such data are foreign.
  override getJobLogs = (): Promise<string[]> => Promise.resolve([])
  override getFlowProducer = (): Promise<null> => Promise.resolve(null)
  override getJobSchedulers = (): Promise<never[]> => Promise.resolve([])
  override getJobSchedulersCount = (): Promise<number> => Promise.resolve(0)
}

const COUNTED = ['active', 'completed', 'delayed', 'failed', 'prioritized', 'waiting', 'waiting-children'] as const
