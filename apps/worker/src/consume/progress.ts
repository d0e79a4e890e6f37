import type { IngestProgress } from '@sealfleet/queue'
import type { Job } from 'bullmq'

/** How often progress goes to Redis, milliseconds. */
const EVERY_MS = 250

/**
 * Writes a job's progress to Redis, at most every 250 ms and, if it was written before, once at its end. An upload that
 * ends within the first 250 ms writes none: its job ends at once, and very many small files would each pay for a report
 * that is never shown. Progress is optional: when Redis does not take it, the attempt continues, and the next report
 * tries again.
 */
export function throttledProgress(job: Pick<Job, 'updateProgress'>): (confirmed: number, total: number) => void {
  let last = Date.now()
  let reported = false
  let underWay = false
  return (bytes, total) => {
    const now = Date.now()
    const atEnd = reported && bytes >= total
    if (underWay || (!atEnd && now - last < EVERY_MS)) return
    last = now
    reported = true
    underWay = true
    const done = (): void => {
      underWay = false
    }
    job.updateProgress({ bytes, total } satisfies IngestProgress).then(done, done)
  }
}
