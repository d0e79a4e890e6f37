import { FAILURES, isFailureCode } from '@sealfleet/failures'
import { parseIngestJob } from '@sealfleet/queue'
import type { Job } from 'bullmq'

/** What the dashboard shows of a job besides data, report and progress, which have their own formatters below. */
export type ShownJob = Readonly<Record<string, unknown>> & { readonly id: string; readonly name: string }

/**
 * A job's numbers, its numeric options, and why it failed in the words of the closed list. Other fields of the Redis
 * hash, such as stacks with paths, are not shown.
 */
export function shownJob(jobId: string, job: Job): ShownJob {
  const { attempts, delay, priority } = job.opts
  return {
    id: jobId,
    name: String(job.name),
    data: job.data as unknown,
    progress: job.progress,
    returnvalue: job.returnvalue as unknown,
    timestamp: numberOr(job.timestamp, 0),
    processedOn: numberOr(job.processedOn, undefined),
    finishedOn: numberOr(job.finishedOn, undefined),
    processedBy: shownWorker(job.processedBy),
    delay: numberOr(job.delay, 0),
    priority: numberOr(job.priority, 0),
    attemptsMade: numberOr(job.attemptsMade, 0),
    attemptsStarted: numberOr(job.attemptsStarted, 0),
    stalledCounter: numberOr(job.stalledCounter, 0),
    opts: numbersOf({ attempts, delay, priority }),
    failedReason: shownReason(job.failedReason),
    stacktrace: [],
  }
}

/** A job that cannot be read: workers make a dead letter of it. */
export function shownBrokenJob(jobId: string, reason: string): ShownJob {
  const failedReason = `PAYLOAD_INVALID: ${reason}`
  return {
    id: jobId,
    name: 'not readable',
    data: null,
    progress: 0,
    timestamp: 0,
    attemptsMade: 0,
    opts: {},
    failedReason,
  }
}

function shownReason(reason: unknown): string | undefined {
  if (typeof reason !== 'string' || reason === '') return undefined
  const code = /^([A-Z][A-Z0-9_]{1,63})\b/.exec(reason)?.[1]
  return isFailureCode(code) ? `${code}: ${FAILURES[code].summary}` : 'the worker’s log says why'
}

function shownWorker(name: unknown): string | undefined {
  return typeof name === 'string' && /^[\w./:-]{1,128}$/.test(name) ? name : undefined
}

function numberOr<T>(value: unknown, fallback: T): number | T {
  return typeof value === 'number' && Number.isFinite(value) ? value : fallback
}

function numbersOf(values: Readonly<Record<string, unknown>>): Readonly<Record<string, number>> {
  return Object.fromEntries(
    Object.entries(values).filter((entry): entry is [string, number] => Number.isFinite(entry[1])),
  )
}

/**
 * What the dashboard shows of a job's data: only the fields of the contract. Anyone who can write to Redis can put
 * anything there, and a refused payload may hold data that must not be shown.
 */
export function shownJobData(data: unknown): unknown {
  try {
    const { v, fileId, domain, source, generation } = parseIngestJob(data)
    return { v, fileId, domain, source, generation }
  } catch {
    return { hidden: 'not an ingest job of version 1' }
  }
}

/** Jobs of the other queues carry only the id of a request row. */
export function shownRequestData(data: unknown): unknown {
  const id = typeof data === 'object' && data !== null ? (data as { requestId?: unknown }).requestId : undefined
  return typeof id === 'string' && /^[0-9a-f-]{36}$/.test(id) ? { requestId: id } : { hidden: 'not a request id' }
}

/** Short words and numbers of a report, one level deep. */
export function shownReport(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return undefined
  return Object.fromEntries(
    Object.entries(value).filter(
      ([, field]) => typeof field === 'number' || (typeof field === 'string' && /^[\w./:-]{1,128}$/.test(field)),
    ),
  )
}

/** Bytes done of the total. */
export function shownProgress(value: unknown): unknown {
  if (typeof value === 'number') return value
  const { bytes, total } = (typeof value === 'object' && value !== null ? value : {}) as Record<string, unknown>
  if (typeof bytes !== 'number' || typeof total !== 'number') return 0
  return total > 0 ? Math.floor((bytes / total) * 100) : 100
}
