import type { Config } from '@sealfleet/config'
import { assertQueuesAreOurs, QUEUE_NAMES, queueOptions } from '@sealfleet/queue'
import { classify } from '@sealfleet/failures'
import { countsByState } from '@sealfleet/records/files'
import { getFleet } from '@sealfleet/records/fleet'
import { AsyncDisposableStack, listen, openConfiguredRecords, openRedis } from '@sealfleet/runtime'
import type { Logger, Metrics } from '@sealfleet/telemetry'
import { Queue } from 'bullmq'
import { createApp } from './app.js'
import { createBoard } from './board.js'
import { createCollector } from './collect.js'

export type OpsSettings = Config<'database' | 'redis' | 'ops'>

export interface OpsOptions {
  readonly config: OpsSettings
  readonly log: Logger
  readonly metrics: Metrics
}

export interface RunningOps {
  readonly host: string
  readonly port: number
  /** Not ready, then no new connections, then everything closed. Any number of calls. */
  close(): Promise<void>
}

const BOARD_PATH = '/queues'

/** Opens Redis and Postgres and listens. Throws coded errors; then nothing is left open. */
export async function runOps({ config, log, metrics }: OpsOptions): Promise<RunningOps> {
  const closers = new AsyncDisposableStack()
  const closeAll = () => closers[Symbol.asyncDispose]()
  try {
    const redis = await openRedis(config, {
      connectionName: 'sealfleet-ops',
      onError: (error) => log.warn({ code: classify(error, { during: 'redis' }).code, err: error }, 'redis error'),
    })
    closers.defer(() => redis.disconnect())
    const poolSize = Math.min(4, config.database.poolSize)
    const records = await openConfiguredRecords(config, { name: 'sealfleet-ops', poolSize })
    closers.defer(() => records.close())
    const { id: fleet } = await getFleet(records)
    const assertOurs = () => assertQueuesAreOurs(redis, fleet, config.redis.prefix)
    await assertOurs()
    const queues = QUEUE_NAMES.map((name) => {
      const queue = new Queue(name, { connection: redis, ...queueOptions(config.redis.prefix) })
      queue.on('error', (error) => log.warn({ component: 'redis', err: error }, 'queue error'))
      closers.defer(() => queue.close())
      return queue
    })
    let accepting = true
    const app = createApp({
      host: config.ops.host,
      board: createBoard({ queues, redis, basePath: BOARD_PATH, log }),
      boardPath: BOARD_PATH,
      probes: [
        { name: 'redis', check: () => redis.ping() },
        { name: 'fleet', check: assertOurs },
        { name: 'postgres', check: () => countsByState(records, NO_BATCH) },
      ],
      metrics: createCollector(metrics, { records, queues, redis }, log),
      accepting: () => accepting,
      log,
    })
    const server = await listen(app, config.ops.host, config.ops.port, { requestTimeoutMs: 15_000, graceMs: 5_000 })
    closers.defer(() => server.close())
    closers.defer(() => (accepting = false))
    return { host: config.ops.host, port: server.port, close: closeAll }
  } catch (error) {
    await closeAll()
    throw error
  }
}

/** The id of a batch that does not exist: the cheapest query of the tables. */
const NO_BATCH = '00000000-0000-4000-8000-000000000000'
