import { fileCounts, openLettersByCode, retryingByCode, type FileCounts } from '@sealfleet/records/files'
import type { Records } from '@sealfleet/records'
import type { Logger, Metrics } from '@sealfleet/telemetry'
import type { Queue } from 'bullmq'
import type { Redis } from 'ioredis'
import { Gauge } from 'prom-client'
import { paced, type Paced } from './paced.js'
import { countJobs, oldestWaiting, unlessBroken } from './queue-look.js'

export interface MetricSources {
  readonly records: Records
  readonly queues: readonly Queue[]
  /** The connection of the queues. */
  readonly redis: Redis
}

/**
 * Fills the gauges at the moment of a scrape and returns Prometheus's text. Concurrent scrapes share one read. When
 * Redis or Postgres doesn't answer, its gauges are absent (never stale, never a false 0) and `sealfleet_ops_source_up` is 0.
 * The count of all files is not repeated at each scrape once it takes long; its age is a gauge.
 */
export function createCollector(metrics: Metrics, sources: MetricSources, log: Logger): () => Promise<string> {
  const up = new Gauge({
    name: 'sealfleet_ops_source_up',
    help: '1 when the figures of this source could be read at the last scrape',
    labelNames: ['source'],
    registers: [metrics.registry],
  })
  const read = async (source: string, reset: () => void, fill: () => Promise<void>): Promise<void> => {
    try {
      await fill()
      up.set({ source }, 1)
    } catch (error) {
      reset()
      up.set({ source }, 0)
      log.warn({ component: source, err: error }, 'metrics could not be read')
    }
  }
  const counts = paced(() => fileCounts(sources.records))
  const collect = async (): Promise<string> => {
    await Promise.all([
      read(
        'postgres',
        () => resetBooks(metrics),
        () => readBooks(metrics, sources.records, counts),
      ),
      read(
        'redis',
        () => resetQueues(metrics),
        () => readQueues(metrics, sources),
      ),
    ])
    return metrics.registry.metrics()
  }
  let running: Promise<string> | undefined
  return () => {
    running ??= collect().finally(() => (running = undefined))
    return running
  }
}

async function readBooks(metrics: Metrics, records: Records, counts: Paced<FileCounts>): Promise<void> {
  const { value, ageSeconds } = await counts()
  const letters = await openLettersByCode(records)
  for (const [state, n] of Object.entries(value.byState)) metrics.files.set({ state: state.toLowerCase() }, n)
  metrics.filesAgeSeconds.set(ageSeconds)
  metrics.conservation.set(value.difference)
  metrics.deadLetters.reset()
  for (const { code, letters: n } of letters) metrics.deadLetters.set({ code }, n)
  const retrying = await retryingByCode(records)
  metrics.retryingFiles.reset()
  metrics.retryingOldestSeconds.reset()
  for (const { code, files, oldestAt } of retrying) {
    metrics.retryingFiles.set({ code }, files)
    metrics.retryingOldestSeconds.set({ code }, Math.max(0, (Date.now() - oldestAt.getTime()) / 1000))
  }
}

function resetBooks(metrics: Metrics): void {
  metrics.files.reset()
  metrics.filesAgeSeconds.remove()
  metrics.conservation.remove()
  for (const gauge of [metrics.deadLetters, metrics.retryingFiles, metrics.retryingOldestSeconds]) gauge.reset()
}

const STATES = ['waiting', 'active', 'delayed', 'prioritized', 'completed', 'failed'] as const

async function readQueues(metrics: Metrics, { queues, redis }: Pick<MetricSources, 'queues' | 'redis'>): Promise<void> {
  await Promise.all(
    queues.map(async (queue) => {
      const counts = await countJobs(queue, STATES)
      for (const state of STATES) metrics.queueJobs.set({ queue: queue.name, state }, counts[state])
      metrics.queuePaused.set({ queue: queue.name }, (await unlessBroken(queue.isPaused(), false)) ? 1 : 0)
      const oldest = await oldestWaiting(queue, redis)
      metrics.queueOldestSeconds.set(
        { queue: queue.name },
        oldest === undefined ? 0 : Math.max(0, (Date.now() - oldest) / 1000),
      )
    }),
  )
}

function resetQueues(metrics: Metrics): void {
  for (const gauge of [metrics.queueJobs, metrics.queuePaused, metrics.queueOldestSeconds]) gauge.reset()
}
