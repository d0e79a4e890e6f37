/** Apart from what reads and writes a queue's jobs, so that a program loads BullMQ when it opens a queue. */
import { Queue } from 'bullmq'
import type { Redis } from 'ioredis'
import { owned } from '../fleet.js'
import type { IngestJobV1 } from '../ingest/schema.js'
import { QUEUES, queueOptions } from '../queues.js'
import type { IngestQueue } from './queue.js'

/**
 * The ingest queue over a producer's connection, which the caller keeps and closes.
 * @param options.fleet the id of the fleet whose database accepts the files; its jobs carry it
 */
export function createIngestQueue(
  connection: Redis,
  options: { prefix?: string; fleet?: string; onError?: (error: Error) => void } = {},
): IngestQueue {
  const { prefix, fleet } = options
  const bare: Queue<IngestJobV1> = new Queue(QUEUES.ingest, { connection, ...queueOptions(prefix) })
  const queue = owned(bare, { redis: connection, fleet, prefix })
  queue.on('error', (error) => options.onError?.(error))
  return queue
}
