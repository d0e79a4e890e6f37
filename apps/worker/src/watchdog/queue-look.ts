import { setTimeout as delay } from 'node:timers/promises'

import { QUEUES } from '@sealfleet/jobs'
import { Queue } from 'bullmq'
import type { Redis } from 'ioredis'

import { NO_LIMIT } from '../queue/ingest-worker.js'
import type { Look } from './stillness.js'

/** Longer than this a look never waits for Redis, milliseconds. */
const PATIENCE_MS = 3_000

export interface QueueLook extends AsyncDisposable {
  look(): Promise<Look>
}

/** Looks at the ingest queue over the worker's connection. Never throws: a Redis that fails to answer is `unknown`. */
export function queueLook(connection: Redis, prefix: string): QueueLook {
  const queue = new Queue(QUEUES.ingest, { connection, prefix, skipMetasUpdate: true })
  // The worker on the same connection reports its errors.
  queue.on('error', () => undefined)
  const ask = async (): Promise<Look> => {
    const [paused, limitedMs, { waiting = 0, prioritized = 0 }] = await Promise.all([
      queue.isPaused(),
      // Without a number it would tell of the counter that every job sets for a second: a busy fleet would look limited.
      queue.getRateLimitTtl(NO_LIMIT),
      queue.getJobCounts('waiting', 'prioritized'),
    ])
    return paused || limitedMs > 0 ? 'held' : { waiting: waiting + prioritized }
  }
  return {
    look: async () => {
      if (connection.status !== 'ready') return 'unknown'
      try {
        return await Promise.race([ask(), delay(PATIENCE_MS, 'unknown' as const, { ref: false })])
      } catch {
        return 'unknown'
      }
    },
    // The connection is the caller's. A Redis that is out must not keep a process from ending.
    [Symbol.asyncDispose]: () => Promise.race([queue.close(), delay(PATIENCE_MS, undefined, { ref: false })]),
  }
}
