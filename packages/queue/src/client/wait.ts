import type { QueueEvents } from 'bullmq'
import { classify } from '@sealfleet/failures'
import { parseIngestJobId } from '../ingest/ids.js'
import type { FileState, FileStatus, ReadStates } from './terms.js'

/** A job's progress, as workers write it: bytes of the sealed object that the store has confirmed. */
export interface IngestProgress {
  readonly bytes: number
  readonly total: number
}

/** The progress of a wait. */
export interface WaitProgress {
  readonly done: number
  readonly total: number
  readonly byState: Readonly<Partial<Record<FileState, number>>>
}

export interface WaitOptions {
  /** milliseconds between two queries of PostgreSQL: from `pollMs` (250), doubling up to `maxPollMs` (2,000) */
  readonly pollMs?: number
  readonly maxPollMs?: number
  /** abort it to stop waiting; `AbortSignal.timeout` for a limit */
  readonly signal?: AbortSignal
  /** only hints, so that a query comes sooner and bytes can be shown; PostgreSQL decides */
  readonly events?: QueueEvents
  readonly onProgress?: (progress: WaitProgress) => void
  /** bytes of one file, when `events` are given */
  readonly onBytes?: (fileId: string, progress: IngestProgress) => void
  /** called with an outage of the database that the wait sits out, once per query */
  readonly onTrouble?: (error: unknown) => void
  /** called when the database has answered a query */
  readonly onAnswer?: () => void
}

const FINAL: ReadonlySet<FileState> = new Set(['STORED', 'DEAD', 'DISCARDED', 'DELETED'])
/** Ids per query. */
const PAGE = 1_000

/** A query of all open files may take one twentieth of the time. */
const SWEEP_SHARE = 20

/**
 * Waits until every file is in a final state, and returns those states by file id. An outage of the database is sat
 * out; unknown files are waited for, too.
 *
 * With `events`, a file is queried when its job ends, and all open ones together only at intervals: the work grows with
 * the number of files, not with its square.
 * @throws the signal's reason when it aborts; errors of `states` that are not outages
 */
export async function waitForFiles(
  states: ReadStates,
  fileIds: Iterable<string>,
  options: WaitOptions = {},
): Promise<ReadonlyMap<string, FileStatus>> {
  const { pollMs = 250, maxPollMs = 2_000, signal, events, onProgress, onTrouble, onAnswer } = options
  const open = new Set(fileIds)
  const total = open.size
  const done = new Map<string, FileStatus>()
  const byState: Partial<Record<FileState, number>> = {}
  const bell = new Bell()
  const unlisten = events === undefined ? undefined : listen(events, open, bell, options.onBytes)
  let pause = pollMs
  let sweepAt = performance.now()
  try {
    while (open.size > 0) {
      signal?.throwIfAborted()
      const before = done.size
      const began = performance.now()
      const heard = bell.take()
      const sweeps = began >= sweepAt
      try {
        const asked = sweeps ? [...open] : heard.filter((id) => open.has(id))
        for (const status of await ask(states, asked, signal)) {
          if (!FINAL.has(status.state) || !open.delete(status.fileId)) continue
          done.set(status.fileId, status)
          byState[status.state] = (byState[status.state] ?? 0) + 1
        }
        if (asked.length > 0) onAnswer?.()
      } catch (error) {
        signal?.throwIfAborted()
        if (classify(error, { during: 'database' }).failure.class !== 'transient-infrastructure') throw error
        onTrouble?.(error)
      }
      if (done.size > before) {
        onProgress?.({ done: done.size, total, byState: { ...byState } })
        if (events === undefined) pause = pollMs
      }
      const now = performance.now()
      if (sweeps) {
        sweepAt = now + Math.max(pause, (now - began) * SWEEP_SHARE)
        pause = Math.min(pause * 2, maxPollMs)
      }
      if (open.size > 0) await bell.wait(Math.max(1, sweepAt - now), signal)
    }
    return done
  } finally {
    unlisten?.()
  }
}

async function ask(
  states: ReadStates,
  fileIds: readonly string[],
  signal?: AbortSignal,
): Promise<readonly FileStatus[]> {
  const all: FileStatus[] = []
  for (let at = 0; at < fileIds.length; at += PAGE) {
    signal?.throwIfAborted()
    all.push(...(await states(fileIds.slice(at, at + PAGE))))
  }
  return all
}

/** Rings when the job of an open file ends. Returns a function that stops listening. */
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
    const fileId = fileOf(jobId)
    if (fileId !== undefined) bell.ring(fileId)
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

/** Sleeps until rung, aborted, or for a number of milliseconds. A ring outside of a sleep is remembered. */
class Bell {
  readonly #heard = new Set<string>()
  #wake: (() => void) | undefined

  ring(fileId: string): void {
    this.#heard.add(fileId)
    this.#wake?.()
  }

  /** The ids rung for since the last call. */
  take(): readonly string[] {
    const heard = [...this.#heard]
    this.#heard.clear()
    return heard
  }

  /** Throws the signal's reason when it aborts. */
  async wait(ms: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted()
    if (this.#heard.size === 0) {
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
    this.#wake = undefined
    signal?.throwIfAborted()
  }
}
