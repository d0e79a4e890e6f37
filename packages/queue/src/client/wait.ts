import type { QueueEvents } from 'bullmq'
import { classify } from '@sealfleet/failures'
import { parseIngestJobId } from '../ingest/ids.js'
import { FileIds } from './file-ids.js'
import { OpenFiles } from './open-files.js'
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
  /** called with each file that has ended, once */
  readonly onEnd?: (status: FileStatus) => void
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
/** The next page follows at once when at least one file in four had ended. */
const FRUITFUL = 4
/** Milliseconds for which the ends of further jobs are gathered, once one was asked about. */
const GATHER_MS = 100
/** Polls may take one twentieth of the time. */
const POLL_SHARE = 20

/**
 * Waits until every file is in a final state, and returns those states by file id. `awaitFiles` has the rest.
 * @throws the signal's reason when it aborts; errors of `states` that are not outages
 */
export async function waitForFiles(
  states: ReadStates,
  fileIds: Iterable<string>,
  options: WaitOptions = {},
): Promise<ReadonlyMap<string, FileStatus>> {
  const done = new Map<string, FileStatus>()
  const onEnd = (status: FileStatus): void => {
    done.set(status.fileId, status)
    options.onEnd?.(status)
  }
  await awaitFiles(states, new FileIds(fileIds, { indexed: true }), { ...options, onEnd })
  return done
}

/**
 * Waits until every file is in a final state, in memory that grows by a bit a file. An outage of the database is sat
 * out; unknown files are waited for, too.
 *
 * A poll asks about a thousand files at most and the next poll about the next thousand, at once where many had ended.
 * With `events`, which need `indexed` ids, a file is asked about when its job ends, and polls only find what the events
 * missed. So the files asked about grow with their number, not with its square.
 * @throws the signal's reason when it aborts; errors of `states` that are not outages
 */
export async function awaitFiles(states: ReadStates, ids: FileIds, options: WaitOptions = {}): Promise<void> {
  const { pollMs = 250, maxPollMs = 2_000, signal, events, onProgress, onEnd, onTrouble, onAnswer } = options
  const open = new OpenFiles(ids)
  const total = open.size
  const byState: Partial<Record<FileState, number>> = {}
  const bell = new Bell()
  const unlisten = events === undefined ? undefined : listen(events, open, bell, options.onBytes)

  /** Asks about the files at some places. @returns how many of them have ended */
  const ask = async (places: readonly number[]): Promise<number> => {
    const asked = new Map(places.map((place) => [open.idAt(place), place]))
    const answers = await states([...asked.keys()])
    let ended = 0
    for (const status of answers) {
      const place = asked.get(status.fileId)
      if (place === undefined || !FINAL.has(status.state) || !open.end(place)) continue
      ended += 1
      byState[status.state] = (byState[status.state] ?? 0) + 1
      onEnd?.(status)
    }
    onAnswer?.()
    return ended
  }
  /** The same; an outage is reported and gives 'out'. */
  const askUnlessOut = async (places: readonly number[]): Promise<number | 'out'> => {
    try {
      return await ask(places)
    } catch (error) {
      signal?.throwIfAborted()
      if (classify(error, { during: 'database' }).failure.class !== 'transient-infrastructure') throw error
      onTrouble?.(error)
      return 'out'
    }
  }

  let pause = pollMs
  let pollAt = performance.now()
  let gatherUntil = pollAt
  try {
    while (open.size > 0) {
      signal?.throwIfAborted()
      const began = performance.now()
      const before = open.size
      const heard = bell.take(PAGE).filter((place) => open.isOpen(place))
      const isOut = heard.length > 0 && (await askUnlessOut(heard)) === 'out'
      if (isOut) for (const place of heard) bell.ring(place)
      if (heard.length > 0) gatherUntil = performance.now() + (isOut ? pause : GATHER_MS)
      if (began >= pollAt && open.size > 0) {
        const places = open.next(PAGE)
        const ended = await askUnlessOut(places)
        const now = performance.now()
        const more = ended !== 'out' && places.length === PAGE && ended * FRUITFUL >= PAGE
        const many = places.length < PAGE ? 1 : PAGE / 10
        if (ended !== 'out' && ended >= many && events === undefined) pause = pollMs
        pollAt = more ? now : now + Math.max(pause, (now - began) * POLL_SHARE)
        if (!more) pause = Math.min(pause * 2, maxPollMs)
      }
      if (open.size < before) onProgress?.({ done: total - open.size, total, byState: { ...byState } })
      const enough = isOut ? Infinity : Math.min(PAGE, open.size)
      if (open.size > 0) await bell.wait({ until: pollAt, gatherUntil, enough }, signal)
    }
  } finally {
    unlisten?.()
  }
}

/** Rings when the job of an open file ends. Returns a function that stops listening. */
function listen(events: QueueEvents, open: OpenFiles, bell: Bell, onBytes: WaitOptions['onBytes']): () => void {
  const onEnd = ({ jobId }: { jobId: string }): void => {
    const fileId = parseIngestJobId(jobId)?.fileId
    const place = fileId === undefined ? -1 : open.placeOf(fileId)
    if (place >= 0) bell.ring(place)
  }
  const onJobProgress = ({ jobId, data }: { jobId: string; data: unknown }): void => {
    const fileId = parseIngestJobId(jobId)?.fileId
    if (fileId !== undefined && open.placeOf(fileId) >= 0 && isIngestProgress(data)) onBytes?.(fileId, data)
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

/** Places of files whose jobs have ended. */
class Bell {
  readonly #heard = new Set<number>()
  #enough = 1
  #wake: (() => void) | undefined

  ring(place: number): void {
    this.#heard.add(place)
    if (this.#heard.size === 1 || this.#heard.size >= this.#enough) this.#wake?.()
  }

  /** Takes `most` of the places that were rung for. */
  take(most: number): readonly number[] {
    const taken: number[] = []
    for (const place of this.#heard) {
      if (taken.push(place) === most) break
    }
    for (const place of taken) this.#heard.delete(place)
    return taken
  }

  /**
   * Sleeps until a time of `performance.now()`, or until rung: not before `gatherUntil`, unless `enough` places were
   * rung for. Throws the signal's reason when it aborts.
   */
  async wait(
    o: { readonly until: number; readonly gatherUntil: number; readonly enough: number },
    signal?: AbortSignal,
  ): Promise<void> {
    this.#enough = o.enough
    for (;;) {
      signal?.throwIfAborted()
      const now = performance.now()
      const heard = this.#heard.size
      const until = heard === 0 ? o.until : Math.min(o.until, o.gatherUntil)
      if (heard >= o.enough || now >= until) return
      await this.#sleep(until - now, signal)
    }
  }

  async #sleep(ms: number, signal?: AbortSignal): Promise<void> {
    await new Promise<void>((resolve) => {
      const wake = (): void => {
        clearTimeout(timer)
        signal?.removeEventListener('abort', wake)
        this.#wake = undefined
        resolve()
      }
      const timer = setTimeout(wake, Math.max(1, ms))
      signal?.addEventListener('abort', wake, { once: true })
      this.#wake = wake
    })
  }
}
