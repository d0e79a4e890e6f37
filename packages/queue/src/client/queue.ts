import type { JobsOptions, Queue } from 'bullmq'
import { addJobs } from '../add-jobs.js'
import { isDecodeError } from '../broken-jobs.js'
import type { OwnedQueue } from '../fleet.js'
import { ingestJobId } from '../ingest/ids.js'
import type { IngestJobV1 } from '../ingest/schema.js'
import { DEFAULT_JOB_OPTIONS, INGEST_JOB } from '../queues.js'

export type IngestQueue = Queue<IngestJobV1> & OwnedQueue

/** Adds jobs, each with the fleet's id. Only to queues that `assertCommittedPut` has just been asked about. */
export async function addIngestJobs(queue: IngestQueue, jobs: readonly IngestJobV1[]): Promise<void> {
  if (jobs.length === 0) return
  const { fleet } = queue
  await addJobs(
    queue,
    jobs.map((job) => ingestJobEntry(fleet === undefined ? job : { ...job, fleet })),
  )
}

/** A job in the form that `queue.addBulk`, an outbox's relay, or a replay adds. */
export function ingestJobEntry(job: IngestJobV1): {
  name: string
  data: IngestJobV1
  opts: JobsOptions & { jobId: string }
} {
  return {
    name: INGEST_JOB,
    data: job,
    opts: { ...DEFAULT_JOB_OPTIONS, jobId: ingestJobId(job.fileId, job.generation) },
  }
}

/**
 * Whether a job will still run (`live`), has ended and would make BullMQ ignore its id (`ended`), cannot be read by
 * BullMQ (`broken`: it will never run and never end), or isn't there.
 */
export type Presence = 'live' | 'ended' | 'broken' | 'absent'

/**
 * Reads the job itself, however long the queue is: BullMQ's getJobState reads the whole list of waiting jobs.
 * `finishedOn` is written when a job completes or fails for good, and removed when it is retried.
 */
export async function jobPresence(queue: IngestQueue, jobId: string): Promise<Presence> {
  try {
    const job = await queue.getJob(jobId)
    if (job === undefined) return 'absent'
    return job.finishedOn === undefined ? 'live' : 'ended'
  } catch (error) {
    if (isDecodeError(error)) return 'broken'
    throw error
  }
}

/**
 * `jobPresence` of many jobs, in their order. That none of them is there, as for new files, takes one command.
 */
export async function jobPresences(queue: IngestQueue, jobIds: readonly string[]): Promise<readonly Presence[]> {
  if (jobIds.length === 0) return []
  const keys = jobIds.map((jobId) => queue.toKey(jobId))
  if ((await queue.redis.exists(...keys)) === 0) return jobIds.map(() => 'absent')
  return Promise.all(jobIds.map((jobId) => jobPresence(queue, jobId)))
}
