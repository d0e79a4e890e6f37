import { Worker } from 'node:worker_threads'

import { CkrError, type Handle } from './cryptoki.js'
import { LanePace } from './lane-pace.js'
import { LaneRing } from './lane-ring.js'
import type { LaneData } from './lane-thread.js'

/**
 * Interval of the checks for a stuck lane, milliseconds: requests waiting at two checks in a row, and no answer between
 * them.
 */
const WATCH_MS = 50

/**
 * One thread for derivations, for tokens that answer in microseconds: a thread hand-over per call costs far more than
 * such a call. Requests queue in shared memory, so that under load neither side waits for the other.
 *
 * The cost of a hanging call is the same as without a lane: the current request hangs with its session, and the
 * requests behind it are withdrawn and run without the lane. {@link LanePace} decides which calls take the lane.
 */
export class Lane {
  readonly #library: string
  readonly #ring = new LaneRing()
  readonly #pace: LanePace
  #state: 'none' | 'starting' | 'ready' | 'stuck' | 'failed' = 'none'
  #watch: NodeJS.Timeout | undefined
  /** Whether a request was waiting at the last check, and whether one was answered since. */
  #waited = false
  #moved = false

  constructor(library: string, now: () => number = performance.now.bind(performance)) {
    this.#library = library
    this.#pace = new LanePace(now)
  }

  /**
   * C_SignInit and C_Sign. Resolves to the length that the module wrote into `out`, or to undefined when the call was
   * not made. Returns undefined when the lane does not take the call. Rejects with CkrError.
   */
  sign(session: Handle, key: Handle, message: Buffer, out: Buffer): Promise<number | undefined> | undefined {
    if (!this.#pace.count()) return undefined
    if (this.#state === 'none') this.#start()
    if (this.#state !== 'ready') return undefined
    let settle: (length: number | undefined) => void = () => undefined
    let fail: (error: CkrError) => void = () => undefined
    const put = this.#ring.put(session, key, message, (outcome) => {
      if (outcome.state === 'withdrawn') settle(undefined)
      else if (outcome.state === 'failed') {
        this.#pace.leave()
        // No operation had begun. Running it again without the lane shows whether the module or the lane was at fault.
        if (outcome.fn === 'C_SignInit') settle(undefined)
        else fail(new CkrError(outcome.ckr, outcome.fn))
      } else {
        this.#pace.took(outcome.micros)
        out.set(outcome.out.subarray(0, Math.min(out.length, outcome.out.length)))
        settle(outcome.length)
      }
    })
    if (!put) return undefined
    this.#watch ??= setInterval(() => {
      this.#look()
    }, WATCH_MS)
    return new Promise((resolve, reject) => {
      settle = resolve
      fail = reject
    })
  }

  #start(): void {
    this.#state = 'starting'
    // As for the parent watch: a thread that runs one loop and needs almost no memory.
    const limits = { maxOldGenerationSizeMb: 8, maxYoungGenerationSizeMb: 2, codeRangeSizeMb: 4, stackSizeMb: 1 }
    const data: LaneData = { lane: this.#ring.memory, library: this.#library }
    const thread = new Worker(new URL('./lane-thread.js', import.meta.url), {
      workerData: data,
      resourceLimits: limits,
    })
    thread.unref()
    thread.on('message', (message) => {
      if (message === 'ready') this.#state = 'ready'
      else if (message === 'unfit') this.#state = 'failed'
      else this.#reap()
    })
    thread.on('error', (error) => {
      // If the thread could not start, it had no requests. If a working thread broke, its requests hang.
      if (this.#state !== 'starting') throw error
      this.#state = 'failed'
    })
  }

  #reap(): void {
    if (this.#ring.reap() === 0) return
    this.#moved = true
    if (this.#state === 'stuck') this.#state = 'ready'
  }

  #look(): void {
    // The thread may not have reported the answers before the call that hangs.
    this.#reap()
    if (this.#ring.waiting === 0) {
      clearInterval(this.#watch)
      this.#watch = undefined
    } else if (this.#waited && !this.#moved) {
      this.#state = 'stuck'
      this.#pace.leave()
      this.#ring.withdraw()
    }
    this.#waited = this.#ring.waiting > 0
    this.#moved = false
  }
}
