import { Worker } from 'node:worker_threads'

import { CkrError, type Handle } from './cryptoki.js'
import { LanePace } from './lane-pace.js'
import { LaneRing } from './lane-ring.js'
import type { LaneData } from './lane-thread.js'

/** Looks at the lane; one that has requests at two of them and answered none between is stuck. Milliseconds. */
const WATCH_MS = 50

/**
 * One thread that derives, for tokens that do so in microseconds: handing each call to a thread of its own costs far more
 * than the call there. Requests queue in shared memory, so that under load neither side waits for the other.
 *
 * It changes nothing of what a call that hangs may cost: the request at hand hangs with its session, those behind it are
 * taken back and made as without a lane. Which calls take the lane at all says {@link LanePace}.
 */
export class Lane {
  readonly #library: string
  readonly #ring = new LaneRing()
  readonly #pace: LanePace
  #state: 'none' | 'starting' | 'ready' | 'stuck' | 'failed' = 'none'
  #watch: NodeJS.Timeout | undefined
  /** Whether something was waiting at the last look, and whether anything was answered since. */
  #waited = false
  #moved = false

  constructor(library: string, now: () => number = performance.now.bind(performance)) {
    this.#library = library
    this.#pace = new LanePace(now)
  }

  /**
   * C_SignInit and C_Sign. Resolves to the length of what the module wrote into `out`, or to undefined when the call was not
   * made; returns undefined when it does not take the call. Rejects with CkrError.
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
        // Nothing was begun: made again without the lane, it shows whether the module or the lane was at fault.
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
    // As for the lifeline: a thread that runs a loop and holds next to nothing.
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
      // Where no thread can be had, nothing was given to it. One that worked and broke leaves its requests hanging.
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
    // The thread may have told no one yet of what it did before the call that hangs.
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
