import type { QueueEvents } from 'bullmq'
import { classify } from '../failures/classify.js'
import { parseIngestJobId } from '../ingest/ids.js'
import type { FileState, FileStatus, StatusPort } from './terms.js'

/** A job's progress, as workers write it: bytes of the sealed object that the store has confirmed. */
export interface IngestProgress {
  readonly bytes: number
  readonly total: number
}

/** How far a wait has come. */
export interface WaitProgress {
  readonly done: number
  readonly total: number
  readonly byState: Readonly<Partial<Record<FileState, number>>>
}

export interface WaitOptions {
  /** milliseconds between two looks at PostgreSQL: from `pollMs` (250), doubling up to `maxPollMs` (2,000) */
  readonly pollMs?: number
  readonly maxPollMs?: number
  /** abort it to stop waiting; `AbortSignal.timeout` for a limit */
  readonly signal?: AbortSignal
  /** only hints, so that a look comes sooner and bytes can be shown; the truth is asked of PostgreSQL */
  readonly events?: QueueEvents
  readonly onProgress?: (progress: WaitProgress) => void
  /** bytes of one file, when `events` are given */
  readonly onBytes?: (fileId: string, progress: IngestProgress) => void
  /** told of an outage that the wait sits out */
  readonly onTrouble?: (error: unknown) => void
}

const FINAL: ReadonlySet<FileState> = new Set(['STORED', 'DEAD', 'DISCARDED', 'DELETED'])
/** Ids asked about at once. */
const PAGE = 1_000

/**
 * Waits until every file is in a final state, and returns those states by file id. An outage of the database is sat
 * out; files that are not known are waited for, too.
 * @throws the signal's reason when it aborts; whatever the port throws that is no outage
 */
export async function waitForFiles(
  port: StatusPort,
  fileIds: Iterable<string>,
  options: WaitOptions = {},
): Promise<ReadonlyMap<string, FileStatus>> {
  const { pollMs = 250, maxPollMs = 2_000, signal, events, onProgress, onTrouble } = options
  const open = new Set(fileIds)
  const total = open.size
  const done = new Map<string, FileStatus>()
  const bell = new Bell()
  const unlisten = events === undefined ? undefined : listen(events, open, bell, options.onBytes)
  try {
    for (let pause = pollMs; open.size > 0; pause = Math.min(pause * 2, maxPollMs)) {
      signal?.throwIfAborted()
      const before = done.size
      try {
        for (const status of await ask(port, [...open], signal)) {
          if (!FINAL.has(status.state)) continue
          done.set(status.fileId, status)
          open.delete(status.fileId)
        }
      } catch (error) {
        signal?.throwIfAborted()
        if (classify(error, { during: 'database' }).failure.class !== 'transient-infrastructure') throw error
        onTrouble?.(error)
      }
      if (done.size > before) {
        onProgress?.({ done: done.size, total, byState: countStates(done.values()) })
        pause = pollMs
      }
      if (open.size > 0) await bell.wait(pause, signal)
    }
    return done
  } finally {
    unlisten?.()
  }
}

async function ask(port: StatusPort, fileIds: readonly string[], signal?: AbortSignal): Promise<readonly FileStatus[]> {
  const all: FileStatus[] = []
  for (let at = 0; at < fileIds.length; at += PAGE) {
    signal?.throwIfAborted()
    all.push(...(await port.states(fileIds.slice(at, at + PAGE))))
  }
  return all
}

function countStates(statuses: Iterable<FileStatus>): WaitProgress['byState'] {
  const counts: Partial<Record<FileState, number>> = {}
  for (const { state } of statuses) counts[state] = (counts[state] ?? 0) + 1
  return counts
}

/** Rings when one of the open files' jobs ends. Returns how to stop listening. */
function listen(
  events: QueueEvents,
  open: ReadonlySet<string>,
  bell: Bell,
  onBytes: WaitOptions['onBytes'],
): () => void {
  const fileOf = (jobId: string): string | undefined => {
    const fileId = parseIngestJobId(jobId)?.fileId
    return fileId !== undefined && open.has(fileId) ? fileId : undefined
  }
  const onEnd = ({ jobId }: { jobId: string }): void => {
    if (fileOf(jobId) !== undefined) bell.ring()
  }
  const onJobProgress = ({ jobId, data }: { jobId: string; data: unknown }): void => {
    const fileId = fileOf(jobId)
    if (fileId !== undefined && isIngestProgress(data)) onBytes?.(fileId, data)
  }
  events.on('completed', onEnd)
  events.on('failed', onEnd)
  events.on('progress', onJobProgress)
  return () => {
    events.off('completed', onEnd)
    events.off('failed', onEnd)
    events.off('progress', onJobProgress)
  }
}

export function isIngestProgress(data: unknown): data is IngestProgress {
  if (typeof data !== 'object' || data === null) return false
  const { bytes, total } = data as Partial<Record<keyof IngestProgress, unknown>>
  return typeof bytes === 'number' && typeof total === 'number'
}

/** Sleeps until rung, aborted, or for so many milliseconds. A ring while nobody sleeps is remembered. */
class Bell {
  #rung = false
  #wake: (() => void) | undefined

  ring(): void {
    this.#rung = true
    this.#wake?.()
  }

  /** Throws the signal's reason when it aborts. */
  async wait(ms: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted()
    if (!this.#rung) {
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          clearTimeout(timer)
          signal?.removeEventListener('abort', wake)
          resolve()
        }
        const timer = setTimeout(wake, ms)
        signal?.addEventListener('abort', wake, { once: true })
        this.#wake = wake
      })
    }
    this.#rung = false
    this.#wake = undefined
    signal?.throwIfAborted()
  }
}
