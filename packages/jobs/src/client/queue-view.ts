import { ingestJobId } from '../ingest/ids.js'
import type { OpenFile } from './deliver.js'
import type { IngestClient } from './ingest-client.js'
import { jobPresence, type IngestQueue } from './queue.js'

/** The ingest queue as maintenance sees it: what it still holds, which files it lost, and how they get new jobs. */
export interface QueueView {
  /** Jobs that will still run, in every such state. One question to Redis. */
  live(): Promise<number>
  /** Of these files, those without a job that will still run. */
  lost<F extends OpenFile>(files: readonly F[]): Promise<readonly F[]>
  /** Gives them jobs, unless they have one by now or came to their end. @returns how many jobs were added */
  deliver(files: readonly OpenFile[]): Promise<number>
}

const ALIVE = ['waiting', 'active', 'delayed', 'prioritized', 'waiting-children'] as const

/** @throws JobsError REDIS_UNAVAILABLE, and whatever the client's accept port throws */
export function queueView({
  client,
  queue,
}: {
  readonly client: IngestClient
  readonly queue: IngestQueue
}): QueueView {
  return {
    live: async () => {
      const counts = await queue.getJobCounts(...ALIVE)
      return ALIVE.reduce((sum, state) => sum + (counts[state] ?? 0), 0)
    },
    lost: async (files) => {
      const present = await Promise.all(
        files.map(({ id, generation }) => jobPresence(queue, ingestJobId(id, generation))),
      )
      return files.filter((_, place) => present[place] !== 'live')
    },
    // Asking again for what was accepted is what the client repairs a lost job by, whoever lost it.
    deliver: async (files) => {
      const asked = files.map(({ id, domain, source, context }) => ({ id, domain, ...source, context }))
      const results = await client.enqueueMany(asked)
      return results.filter(({ outcome }) => outcome === 'requeued' || outcome === 'queued').length
    },
  }
}
