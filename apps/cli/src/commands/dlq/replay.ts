import { setTimeout as delay } from 'node:timers/promises'
import type { EnqueueResult, IngestClient } from '@sealfleet/queue'
import { fileStates, getFile, replayDeadLetter, type Unresolvable } from '@sealfleet/records/files'
import type { DeadLetterRow, Records } from '@sealfleet/records'

export interface ReplaySettings {
  /** letters a second */
  readonly rate: number
  /** replayed files under way at once */
  readonly inFlight: number
  /** percent of the replayed files that have ended; the replay stops when more of them than this died */
  readonly stopAt: number
  readonly wait: boolean
  readonly actor: string
  readonly reason: string | undefined
}

export type Replayed = 'replayed' | 'job-restored' | Unresolvable

export interface ReplayTally {
  readonly outcomes: Record<Replayed, number>
  /** of the replayed files that have ended */
  stored: number
  diedAgain: number
  ended: number
  /** why the replay stopped early */
  stopped: string | undefined
  /** letters not looked at, after a stop */
  left: number
}

export function emptyTally(): ReplayTally {
  return {
    outcomes: { replayed: 0, 'job-restored': 0, resolved: 0, 'refused-request': 0, 'not-dead': 0 },
    stored: 0,
    diedAgain: 0,
    ended: 0,
    stopped: undefined,
    left: 0,
  }
}

/** The share of dead files counts once this many files have ended. */
const SAMPLE = 5
const LOOK_EVERY_MS = 300
const UNDER_WAY: ReadonlySet<string> = new Set(['queued', 'already-queued', 'requeued'])

/**
 * Replays letters one by one: the record first, then the job. A crash between the two leaves a queued file without a
 * job; the same command with the letter's id repairs that. Watches the outcomes and stops when too many files die
 * again.
 */
export class Replay {
  readonly tally: ReplayTally = emptyTally()
  readonly #open = new Set<string>()
  readonly #o: ReplaySettings
  readonly #records: Records
  readonly #client: Pick<IngestClient, 'enqueue'>
  readonly #signal: AbortSignal
  #lastLook = 0

  constructor(records: Records, client: Pick<IngestClient, 'enqueue'>, signal: AbortSignal, o: ReplaySettings) {
    this.#records = records
    this.#client = client
    this.#signal = signal
    this.#o = o
  }

  /** `onProgress` is called after each letter and each poll. */
  async run(letters: readonly DeadLetterRow[], onProgress: () => Promise<void> | void): Promise<void> {
    let next = performance.now()
    for (const [place, letter] of letters.entries()) {
      await this.#room(onProgress)
      await this.#pause(next - performance.now())
      next = Math.max(next, performance.now()) + 1000 / this.#o.rate
      if (this.tally.stopped !== undefined) {
        this.tally.left = letters.length - place
        return
      }
      const outcome = await this.#one(letter)
      this.tally.outcomes[outcome] += 1
      await onProgress()
    }
    while (this.#o.wait && this.#open.size > 0) {
      await this.#pause(LOOK_EVERY_MS)
      await this.#look()
      await onProgress()
    }
  }

  get underWay(): number {
    return this.#open.size
  }

  /** Waits until fewer than `inFlight` replayed files are in progress, or it is time to stop. */
  async #room(onProgress: () => Promise<void> | void): Promise<void> {
    if (performance.now() - this.#lastLook >= LOOK_EVERY_MS) await this.#look()
    while (this.#open.size >= this.#o.inFlight && this.tally.stopped === undefined) {
      await onProgress()
      await this.#pause(LOOK_EVERY_MS)
      await this.#look()
    }
  }

  async #one(letter: DeadLetterRow): Promise<Replayed> {
    const { actor, reason } = this.#o
    const result = await replayDeadLetter(this.#records, { id: letter.id, actor, reason })
    if (result.outcome === 'done' && result.fileId !== null) {
      await this.#job(result.fileId)
      return 'replayed'
    }
    // Already replayed, perhaps by a command that ended between the record and the job.
    const perhapsJobless = result.outcome === 'resolved' && letter.state === 'REPLAYED' && result.fileId !== null
    if (perhapsJobless) return (await this.#job(result.fileId)) === 'requeued' ? 'job-restored' : 'resolved'
    return result.outcome === 'done' ? 'resolved' : result.outcome
  }

  /** Enqueues the file again from its record: the client adds the job of its generation unless one exists. */
  async #job(fileId: string): Promise<EnqueueResult['outcome']> {
    const found = await getFile(this.#records, fileId)
    if (found === undefined) throw new Error('files are never deleted')
    const { domain, source, context } = found.file
    const { outcome } = await this.#client.enqueue({ id: fileId, domain, ...source, context })
    if (UNDER_WAY.has(outcome)) this.#open.add(fileId)
    return outcome
  }

  async #look(): Promise<void> {
    this.#lastLook = performance.now()
    for (const { fileId, state } of await fileStates(this.#records, [...this.#open])) {
      if (state === 'QUEUED' || state === 'RUNNING') continue
      this.#open.delete(fileId)
      this.tally.ended += 1
      if (state === 'STORED') this.tally.stored += 1
      if (state === 'DEAD') this.tally.diedAgain += 1
    }
    const { ended, diedAgain } = this.tally
    if (ended >= SAMPLE && (diedAgain / ended) * 100 > this.#o.stopAt) {
      this.tally.stopped = `${diedAgain} of ${ended} replayed files died again`
    }
  }

  async #pause(ms: number): Promise<void> {
    this.#signal.throwIfAborted()
    if (ms > 0) await delay(ms, undefined, { signal: this.#signal }).catch(() => this.#signal.throwIfAborted())
  }
}
