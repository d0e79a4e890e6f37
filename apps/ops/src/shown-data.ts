import { parseIngestJob } from '@sealfleet/jobs'

/**
 * What the dashboard shows of a job's data: the fields of the contract and nothing else. Anybody who can write to Redis
 * can put anything there, and a payload that was refused may hold what its sender never meant to show.
 */
export function shownJobData(data: unknown): unknown {
  try {
    const { v, fileId, domain, source, generation } = parseIngestJob(data)
    return { v, fileId, domain, source, generation }
  } catch {
    return { hidden: 'not an ingest job of version 1' }
  }
}

/** Jobs of the other queues carry the id of a request row alone. */
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

/** Bytes done of how many. */
export function shownProgress(value: unknown): unknown {
  if (typeof value === 'number') return value
  const { bytes, total } = (typeof value === 'object' && value !== null ? value : {}) as Record<string, unknown>
  if (typeof bytes !== 'number' || typeof total !== 'number') return 0
  return total > 0 ? Math.floor((bytes / total) * 100) : 100
}
