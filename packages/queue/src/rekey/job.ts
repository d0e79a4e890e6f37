import { Queue, type JobsOptions } from 'bullmq'
import type { Redis } from 'ioredis'
import { z } from 'zod'
import { CodedError } from '@sealfleet/failures'
import { addJobs } from '../add-jobs.js'
import { owned, type OwnedQueue } from '../fleet.js'
import { UUID_PATTERN } from '../ingest/ids.js'
import { QUEUES, queueOptions } from '../queues.js'

/** Name of the one kind of job in the rekey queue. */
export const REKEY_JOB = 'rekey'

/**
 * Data of a job of the `rekey` queue: the id of an item's row in PostgreSQL. Redis confers no authority beyond that.
 */
export interface RekeyJobV1 {
  readonly v: 1
  readonly id: string
}

const schema = z.strictObject({ v: z.literal(1), id: z.string().regex(UUID_PATTERN) })

/** @throws {CodedError} PAYLOAD_INVALID; the message never holds the data */
export function parseRekeyJob(data: unknown): RekeyJobV1 {
  const parsed = schema.safeParse(data)
  if (parsed.success) return parsed.data
  throw new CodedError('PAYLOAD_INVALID', 'a rekey job is { v: 1, id: UUID } and nothing else')
}

/** Each try of an item has its own job: BullMQ ignores an id that it still holds. */
export function rekeyJobId(itemId: string, tries: number): string {
  return `r-${itemId}-t${tries}`
}

export type RekeyQueue = Queue<RekeyJobV1> & OwnedQueue

/** The rekey queue over a producer's connection, which the caller keeps and closes. */
export function createRekeyQueue(
  connection: Redis,
  { prefix, fleet }: { prefix?: string; fleet?: string } = {},
): RekeyQueue {
  const bare: Queue<RekeyJobV1> = new Queue(QUEUES.rekey, { connection, ...queueOptions(prefix) })
  const queue = owned(bare, { redis: connection, fleet, prefix })
  // Failed commands reject at their own call; the connection's own events add nothing.
  queue.on('error', () => undefined)
  return queue
}

/**
 * The outcome is in PostgreSQL, so an ended job leaves nothing: its id is free when the item comes back. One attempt,
 * since the dispatcher adds another job when another try is due.
 */
const OPTIONS = { attempts: 1, removeOnComplete: true, removeOnFail: true } as const satisfies JobsOptions

/**
 * Adds the jobs of these items; items that still have theirs keep it. @throws errors of Redis; jobs added before stay
 */
export async function addRekeyJobs(
  queue: RekeyQueue,
  items: readonly { readonly id: string; readonly tries: number }[],
): Promise<void> {
  if (items.length === 0) return
  await queue.assertOurs()
  await addJobs(
    queue,
    items.map(({ id, tries }) => ({
      name: REKEY_JOB,
      data: { v: 1, id },
      opts: { ...OPTIONS, jobId: rekeyJobId(id, tries) },
    })),
  )
}

/** Jobs that will still run, in every such state. One query to Redis. */
export async function liveRekeyJobs(queue: RekeyQueue): Promise<number> {
  const states = ['waiting', 'active', 'delayed', 'prioritized'] as const
  const counts = await queue.getJobCounts(...states)
  return states.reduce((sum, state) => sum + (counts[state] ?? 0), 0)
}
