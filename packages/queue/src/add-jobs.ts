import type { Job, Queue } from 'bullmq'
import { freeListKeys, isWrongType } from './broken-jobs.js'
import type { OwnedQueue } from './fleet.js'
import { putBackStrayJobs } from './stray-jobs.js'

/** A job of that name as a key can come again while workers still have to remove the last one. */
const TRIES = 5

type Added<T> = { readonly name: string; readonly data: T; readonly opts: Job['opts'] & { readonly jobId: string } }

/**
 * Adds jobs; those that are there already stay as they are.
 *
 * A job whose id is the name of a list (`wait`) makes BullMQ write a hash in place of that list, while it is empty. Until
 * a worker has removed the job, BullMQ can add no other: it writes each job's hash and fails to list it. So the hash
 * goes here, and the jobs that BullMQ did not list are put back.
 * @throws errors of Redis; jobs added before stay
 */
export async function addJobs<T>(queue: Queue<T> & OwnedQueue, jobs: readonly Added<T>[]): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      await (queue as Queue).addBulk([...jobs])
      return
    } catch (error) {
      if (!isWrongType(error) || tries === TRIES) throw error
      await freeListKeys(queue, queue.redis)
      const ids = jobs.map(({ opts }) => opts.jobId)
      await putBackStrayJobs(queue, queue.redis, ids)
    }
  }
}
