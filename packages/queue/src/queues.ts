import type { JobsOptions, QueueOptions } from 'bullmq'
import { BACKOFF_TYPE, MAX_ATTEMPTS } from '@sealfleet/failures'

/** Prefix of every key; the braces keep a queue's keys in one slot of a Redis cluster. */
export const QUEUE_PREFIX = '{sealfleet}'

/** Names of the queues (ARCHITECTURE §4). Jobs of all but `ingest` carry only the id of a request row in PostgreSQL. */
export const QUEUES = {
  ingest: 'ingest',
  restore: 'restore',
  verify: 'verify',
  rekey: 'rekey',
  maintenance: 'maintenance',
} as const

export type QueueName = keyof typeof QUEUES
export const QUEUE_NAMES = Object.keys(QUEUES) as readonly QueueName[]

/** Name of the one kind of job in the ingest queue. */
export const INGEST_JOB = 'ingest'

const DAY_S = 24 * 60 * 60

/**
 * Options of every job. BullMQ's own default is one attempt. A completed job is useful only for watching; a failed one
 * stays as evidence beside its dead letter (the bound keeps a Redis that may not evict from filling up).
 */
export const DEFAULT_JOB_OPTIONS = {
  attempts: MAX_ATTEMPTS,
  backoff: { type: BACKOFF_TYPE },
  removeOnComplete: { age: DAY_S, count: 10_000 },
  removeOnFail: { age: 90 * DAY_S, count: 100_000 },
  // A stack is many lines of paths, kept in Redis for each failed try; the dead letter has the essential facts.
  stackTraceLimit: 1,
} as const satisfies JobsOptions

/** Options for `new Queue(QUEUES.ingest, …)`, without the connection. */
export function queueOptions(prefix: string = QUEUE_PREFIX): Omit<QueueOptions, 'connection'> {
  return { prefix, defaultJobOptions: DEFAULT_JOB_OPTIONS }
}
