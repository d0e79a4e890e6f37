import { randomUUID } from 'node:crypto'
import { Queue, Worker, type Job } from 'bullmq'
import type { Redis } from 'ioredis'

import { queueOptions } from './queues.js'

/** The queue of trials: no worker uses it, no list shows it. */
const TRIAL_QUEUE = 'trial'
/** Milliseconds after which the next doctor removes the job of an interrupted trial. */
const LEFT_MS = 60_000

/**
 * Runs a producer's commands on a queue of its own: adds a job, counts, removes it. Over the caller's connection.
 * Rejects with Redis's own refusal: READONLY, OOM, MISCONF, NOPERM with the command, LOADING, …
 */
export async function tryQueue(connection: Redis, prefix?: string): Promise<void> {
  await using trial = openQueue(TRIAL_QUEUE, connection, prefix)
  const job = await trial.queue.add('trial', {}, { jobId: `trial-${randomUUID()}` })
  await trial.queue.getJobCounts('waiting', 'active', 'delayed')
  await job.remove()
}

/**
 * Runs a worker's commands on a queue of its own: waits for a job, takes it under a lock, extends the lock, writes
 * progress, delays the job, takes it again, completes it, looks for stalled jobs; then removes all of it. Opens
 * connections like the one given.
 * @throws Redis's own refusal; the signal's reason
 */
export async function tryWorker(like: Redis, prefix: string | undefined, signal: AbortSignal): Promise<void> {
  const heard: Error[] = []
  // A worker waits during outages: the signal ends this.
  const connection = like.duplicate({
    maxRetriesPerRequest: null,
    enableOfflineQueue: true,
    connectionName: 'sealfleet-trial',
  })
  connection.on('error', (error: Error) => heard.push(error))
  const late = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(heard[0] ?? (signal.reason as Error)), { once: true })
  })
  try {
    await Promise.race([work(connection, prefix, heard), late])
  } finally {
    connection.disconnect()
  }
}

async function work(connection: Redis, prefix: string | undefined, heard: Error[]): Promise<void> {
  const name = `${TRIAL_QUEUE}-${randomUUID().slice(0, 8)}`
  await using trial = openQueue(name, connection, prefix)
  const { queue } = trial
  await using worker = openWorker(name, connection, prefix, heard)
  const token = randomUUID()
  // The queue must be empty first: only then the next take waits for a job, as an idle worker's does.
  await worker.worker.getNextJob(token, { block: false })
  await queue.add('trial', {}, { jobId: 'trial-1', attempts: 2 })
  const first = await taken(worker.worker, token, heard)
  await first.extendLock(token, LEFT_MS)
  await first.updateProgress({ bytes: 0, total: 0 })
  await first.log('trial')
  await first.moveToDelayed(Date.now() - 1, token)
  const again = await taken(worker.worker, token, heard)
  await again.moveToCompleted({}, token, false)
  await worker.worker.startStalledCheckTimer()
  await queue.isPaused()
  await queue.getWorkersCount()
  if (heard[0] !== undefined) throw heard[0]
  await queue.obliterate({ force: true })
  const old = new Queue(TRIAL_QUEUE, { connection, ...queueOptions(prefix) })
  old.on('error', (error) => heard.push(error))
  await old.clean(LEFT_MS, 1_000, 'wait')
}

async function taken(worker: Worker<unknown>, token: string, heard: readonly Error[]): Promise<Job<unknown>> {
  const job = await worker.getNextJob(token)
  if (job === undefined) throw heard[0] ?? new Error('Redis did not hand over the job that it had taken')
  return job
}

function openQueue(name: string, connection: Redis, prefix: string | undefined) {
  const queue = new Queue<unknown>(name, { connection, ...queueOptions(prefix) })
  // Failed commands reject at their own call.
  queue.on('error', () => undefined)
  return { queue, [Symbol.asyncDispose]: () => queue.close() }
}

function openWorker(name: string, connection: Redis, prefix: string | undefined, heard: Error[]) {
  const worker = new Worker<unknown>(name, null, { connection, ...queueOptions(prefix), autorun: false })
  worker.on('error', (error) => heard.push(error))
  return { worker, [Symbol.asyncDispose]: () => worker.close(true) }
}
