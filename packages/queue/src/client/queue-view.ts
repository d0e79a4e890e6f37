import { ingestJobId } from '../ingest/ids.js'
import { deliverJobs, type OpenFile } from './deliver.js'
import { jobPresences, type IngestQueue } from './queue.js'
import type { ReadStates } from './terms.js'

/** The ingest queue for maintenance: its live jobs, the files that lost theirs, and a way to add new ones. */
export interface QueueView {
  /** Jobs that will still run, in every such state. One query to Redis. */
  live(): Promise<number>
  /** Of these files, those without a job that will still run. */
  lost<F extends OpenFile>(files: readonly F[]): Promise<readonly F[]>
  /** Gives them jobs, unless they have one by now or have ended. @returns how many jobs were added */
  deliver(files: readonly OpenFile[]): Promise<number>
}

const ALIVE = ['waiting', 'active', 'delayed', 'prioritized', 'waiting-children'] as const

/**
 * @param states reads a file's state again where an ended job is in the way
 * @throws CodedError REDIS_UNAVAILABLE or FLEET_MISMATCH, and errors of `states`
 */
export function queueView(queue: IngestQueue, states: ReadStates): QueueView {
  return {
    live: async () => {
      const counts = await queue.getJobCounts(...ALIVE)
      return ALIVE.reduce((sum, state) => sum + (counts[state] ?? 0), 0)
    },
    lost: async (files) => {
      await queue.assertOurs()
      const present = await jobPresences(
        queue,
        files.map(({ id, generation }) => ingestJobId(id, generation)),
      )
      return files.filter((_, place) => present[place] !== 'live')
    },
    deliver: (files) => deliverJobs(queue, files, states),
  }
}
