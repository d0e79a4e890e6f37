import { setTimeout as delay } from 'node:timers/promises'

import { Queue } from 'bullmq'
import type { Redis } from 'ioredis'

import { NO_LIMIT } from '../consume/consumer.js'
import type { QueueState } from './stall-detector.js'

/** Longest wait for Redis, milliseconds. */
const PATIENCE_MS = 3_000

export interface QueueLook extends AsyncDisposable {
  look(): Promise<QueueState>
}

/**
 * Reads the state of the queues that a worker takes jobs from, over its connection; held means all of them. Never
 * throws: `unknown` when Redis does not answer.
 */
export function queueLook(connection: Redis, prefix: string, names: readonly string[]): QueueLook {
  const queues = names.map((name) => {
    const queue = new Queue(name, { connection, prefix, skipMetasUpdate: true })
    // The worker on the same connection reports its errors.
    queue.on('error', () => undefined)
    return queue
  })
  return {
    look: async () => {
      if (connection.status !== 'ready') return 'unknown'
      try {
        return await Promise.race([ask(queues), delay(PATIENCE_MS, 'unknown' as const, { ref: false })])
      } catch {
        return 'unknown'
      }
    },
    // The connection is the caller's. An unreachable Redis must not keep the process from exiting.
    [Symbol.asyncDispose]: async () => {
      const closed = Promise.all(queues.map((queue) => queue.close()))
      await Promise.race([closed, delay(PATIENCE_MS, undefined, { ref: false })])
    },
  }
}

async function ask(queues: readonly Queue[]): Promise<QueueState> {
  const looks = await Promise.all(queues.map(askOne))
  const open = looks.filter((look) => look !== 'held')
  return open.length === 0 ? 'held' : { waiting: open.reduce((sum, waiting) => sum + waiting, 0) }
}

async function askOne(queue: Queue): Promise<'held' | number> {
  const [paused, limitedMs, { waiting = 0, prioritized = 0 }] = await Promise.all([
    queue.isPaused(),
    // Without a maximum it would read the counter that every job sets for a second: a busy fleet would look limited.
    queue.getRateLimitTtl(NO_LIMIT),
    queue.getJobCounts('waiting', 'prioritized'),
  ])
  return paused || limitedMs > 0 ? 'held' : waiting + prioritized
}
