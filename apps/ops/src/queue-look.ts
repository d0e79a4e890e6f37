/**
 * Reads queues that may hold anything: one job or list that BullMQ cannot read must not hide the others. A list key of
 * another type (a job whose id is a list's name) counts as empty; an outage is still thrown.
 */
import { examineJob, isDecodeError, isWrongType } from '@sealfleet/queue'
import { Job, type JobType, type Queue } from 'bullmq'
import type { Redis } from 'ioredis'
import { shownBrokenJob, shownJob } from './shown-data.js'

/** The answer, or the fallback when the Redis key is of another type. @throws what Redis throws */
export async function unlessBroken<T>(answer: Promise<T>, fallback: T): Promise<T> {
  try {
    return await answer
  } catch (error) {
    if (isWrongType(error)) return fallback
    throw error
  }
}

/** Number of jobs by state. @throws what Redis throws */
export async function countJobs<State extends JobType>(
  queue: Queue,
  states: readonly State[],
): Promise<Readonly<Record<State, number>>> {
  const all = await unlessBroken(queue.getJobCounts(...states), undefined)
  const counted = await Promise.all(
    states.map(async (state) => {
      const counts = all ?? (await unlessBroken(queue.getJobCounts(state), {}))
      return [state, counts[state] ?? 0] as const
    }),
  )
  return Object.fromEntries(counted) as Record<State, number>
}

/** Ids of jobs in these states, each once, state by state. @throws what Redis throws */
export async function jobIds(
  queue: Queue,
  states: readonly JobType[],
  range: { readonly start: number; readonly end: number; readonly oldestFirst?: boolean },
): Promise<readonly string[]> {
  const { start, end, oldestFirst = false } = range
  const lists = await Promise.all(
    states.map((state) => unlessBroken(queue.getRanges([state], start, end, oldestFirst), [])),
  )
  return [...new Set(lists.flat().map(String))]
}

/**
 * A job as the dashboard shows it; one that cannot be read keeps its id and shows the reason. @throws what Redis throws
 */
export async function readJob(queue: Queue, redis: Redis, jobId: string): Promise<Job> {
  const broken = await examineJob(queue, redis, jobId)
  if (broken !== undefined) return standIn(queue, jobId, broken.reason)
  try {
    const job = await queue.getJob(jobId)
    return job === undefined
      ? standIn(queue, jobId, 'its hash is not there')
      : showing(job, shownJob(jobId, job), () => unlessBroken<JobState>(queue.getJobState(jobId), 'unknown'))
  } catch (error) {
    // It changed since its state was read.
    if (isDecodeError(error)) return standIn(queue, jobId, 'it cannot be read')
    throw error
  }
}

type JobState = Awaited<ReturnType<Job['getState']>>

function standIn(queue: Queue, jobId: string, reason: string): Job {
  const shown = shownBrokenJob(jobId, reason)
  return showing(new Job(queue, shown.name, {}, {}, jobId), shown, async () =>
    unlessBroken<JobState>(queue.getJobState(jobId), 'unknown'),
  )
}

/** Bull Board takes what it shows from `toJSON`. */
function showing(job: Job, shown: object, getState: () => Promise<JobState>): Job {
  return Object.assign(job, { toJSON: () => shown, getState })
}

/** Milliseconds since the epoch at which the oldest readable one of the first waiting jobs was made. @throws what Redis throws */
export async function oldestWaiting(queue: Queue, redis: Redis): Promise<number | undefined> {
  for (const jobId of await jobIds(queue, ['waiting'], { start: 0, end: FIRST - 1, oldestFirst: true })) {
    const made = Number((await unlessBroken(redis.hget(queue.toKey(jobId), 'timestamp'), null)) ?? NaN)
    if (Number.isSafeInteger(made) && made > 0) return made
  }
  return undefined
}

const FIRST = 20
