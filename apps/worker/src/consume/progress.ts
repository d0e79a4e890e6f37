import type { Job } from 'bullmq'

/** Progress of a job in Redis, readable by anyone: bytes of the sealed object that the store has confirmed. */
export interface IngestProgress {
  readonly bytes: number
  readonly total: number
}

/** How often progress goes to Redis, milliseconds. */
const EVERY_MS = 250

/**
 * Writes a job's progress to Redis, at most every 250 ms and once at its end. Progress is optional: when Redis does not
 * take it, the attempt continues, and the next report tries again.
 */
export function throttledProgress(job: Pick<Job, 'updateProgress'>): (confirmed: number, total: number) => void {
  let last = 0
  let underWay = false
  return (bytes, total) => {
    const now = Date.now()
    if (underWay || (bytes < total && now - last < EVERY_MS)) return
    last = now
    underWay = true
    const done = (): void => {
      underWay = false
    }
    job.updateProgress({ bytes, total } satisfies IngestProgress).then(done, done)
  }
}
