import type { Config } from '@sealfleet/config'
import { ownerOfQueues, QUEUES, queueOptions } from '@sealfleet/queue'
import { ownerOfBucket } from '@sealfleet/objects'
import { openRedis as connect } from '@sealfleet/runtime'
import type { Redis } from 'ioredis'
import type { CommandContext } from '../context.js'
import { openObjectStore } from './store.js'

/** Something outside of the database that carries a fleet's id. */
export interface Mark {
  /** Its name in a sentence. */
  readonly where: string
  /** The id that it carries; undefined: none yet, the first worker writes its own. */
  readonly owner: string | undefined
}

/** A connection for looking at the queues; closed when the command ends. */
export async function openRedisFor(context: CommandContext, config: Config<'redis'>): Promise<Redis> {
  const connection = await connect(config, { connectionName: 'sealfleet-cli' })
  context.defer(() => connection.disconnect())
  return connection
}

/** The fleet that owns the queues. @throws what Redis throws */
export async function queuesMark(context: CommandContext, config: Config<'redis'>): Promise<Mark> {
  const { prefix } = config.redis
  return { where: `queues ${prefix}`, owner: await ownerOfQueues(await openRedisFor(context, config), prefix) }
}

/** The fleet that owns the bucket. Only reads. @throws StoreError */
export async function bucketMark(context: CommandContext, config: Config<'s3'>): Promise<Mark> {
  const store = await openObjectStore(config, { access: 'read-only', context })
  context.defer(() => store.close())
  return { where: `bucket ${store.bucket}`, owner: await ownerOfBucket(store, { signal: context.signal }) }
}

/** Workers that are connected to the ingest queue now. */
export async function connectedWorkers(context: CommandContext, config: Config<'redis'>): Promise<number> {
  const { Queue } = await import('bullmq')
  const connection = await openRedisFor(context, config)
  const queue = new Queue(QUEUES.ingest, { connection, ...queueOptions(config.redis.prefix) })
  queue.on('error', () => undefined)
  context.defer(() => queue.close())
  return queue.getWorkersCount()
}
