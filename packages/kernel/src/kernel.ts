import { availableParallelism } from 'node:os'
import type { Addon, SegmentArguments } from './addon.js'
import { OPERATIONS, type Segment } from './segment.js'

/** Shorter segments take less time than it costs to hand them to a thread, some 20 to 50 µs. */
const INLINE_LENGTH = 32 * 1024
/** libuv's own default and bound (docs.libuv.org, "Thread pool work scheduling"). */
const DEFAULT_THREADS = 4

interface Waiting {
  readonly segment: Segment
  readonly settle: (authentic: boolean) => void
  readonly fail: (error: unknown) => void
}

/** A segment whose keys were read just now, in the same turn of the event loop that starts it. */
interface Ready {
  readonly waiting: Waiting
  readonly given: SegmentArguments
}

/**
 * Runs segments on the threads of libuv's pool, oldest first. With two lanes a thread takes two segments at once, of
 * one file or of two.
 *
 * At most twice as many jobs run at once as there are cores: a core whose job has ended has the next one before the event
 * loop has noticed. One thread of the pool stays free for files and names.
 */
export class Kernel {
  /** The path that is used: `lanes` hashes two segments in one loop. */
  readonly path: 'evp' | 'lanes'
  readonly #addon: Addon
  readonly #most: number
  readonly #waiting: Waiting[] = []
  #running = 0
  #scheduled = false

  constructor(addon: Addon, path: 'evp' | 'lanes', mostAtOnce: number = jobsAtOnce()) {
    this.#addon = addon
    this.path = path
    this.#most = mostAtOnce
  }

  /**
   * Resolves with whether the segment is authentic; `true` for a sealed one. Until then its memory is the kernel's, also
   * when the caller has lost interest: wait for it before the buffers are used for anything else. Rejects with what
   * `keys` throws, with TypeError for wrong lengths, and with an Error if OpenSSL fails: then a segment that was to be
   * sealed may still hold plaintext.
   */
  run(segment: Segment): Promise<boolean> {
    if (segment.data.length <= INLINE_LENGTH) return this.#inline(segment)
    return new Promise((settle, fail) => {
      this.#waiting.push({ segment, settle, fail })
      if (this.#scheduled) return
      this.#scheduled = true
      // Two segments that are submitted together find each other.
      queueMicrotask(() => {
        this.#scheduled = false
        this.#start()
      })
    })
  }

  // eslint-disable-next-line @typescript-eslint/require-await -- what it throws must reject
  async #inline(segment: Segment): Promise<boolean> {
    return this.#addon.runSync(this.path === 'lanes', ...argumentsOf(segment)) === 1
  }

  #start(): void {
    while (this.#running < this.#most) {
      const one = this.#next()
      if (one === undefined) return
      const two = this.path === 'lanes' ? this.#next() : undefined
      this.#run(two === undefined ? [one] : [one, two])
    }
  }

  #run(jobs: readonly Ready[]): void {
    let job: Promise<number>
    try {
      job = this.#addon.run(this.path === 'lanes', ...jobs.flatMap(({ given }) => given))
    } catch (error) {
      // What is wrong with one must not fail the other, which may be of another file.
      if (jobs.length === 1) for (const { waiting } of jobs) waiting.fail(error)
      else for (const one of jobs) this.#run([one])
      return
    }
    this.#running += 1
    void job
      .then(
        (authentic) => jobs.forEach(({ waiting }, i) => waiting.settle((authentic & (1 << i)) !== 0)),
        (error: unknown) => jobs.forEach(({ waiting }) => waiting.fail(error)),
      )
      .finally(() => {
        this.#running -= 1
        this.#start()
      })
  }

  /** The oldest whose keys are still there. */
  #next(): Ready | undefined {
    for (let waiting = this.#waiting.shift(); waiting !== undefined; waiting = this.#waiting.shift()) {
      try {
        return { waiting, given: argumentsOf(waiting.segment) }
      } catch (error) {
        waiting.fail(error)
      }
    }
    return undefined
  }
}

function argumentsOf({ operation, data, tag, range, keys }: Segment): SegmentArguments {
  for (const bytes of [data, tag]) assertFixed(bytes)
  const { macKey, prefix, cipher } = keys()
  const { from, to } = range ?? { from: 0, to: data.length }
  const code = OPERATIONS.indexOf(operation)
  return [code, data, tag, from, to, cipher?.key, cipher?.counter, cipher?.block ?? 0, macKey, prefix]
}

/** An ArrayBuffer that may shrink could give its memory back under the thread that works on it. */
function assertFixed(bytes: Uint8Array): void {
  if ((bytes.buffer as { readonly resizable?: boolean }).resizable === true) {
    throw new TypeError('a segment lies in an ArrayBuffer of fixed length')
  }
}

/** Jobs that may run at once: twice the cores, but for one thread of libuv's pool. */
export function jobsAtOnce(threads = process.env['UV_THREADPOOL_SIZE']): number {
  const pool = Number(threads)
  const size = Number.isInteger(pool) && pool > 0 ? pool : DEFAULT_THREADS
  return Math.max(1, Math.min(2 * availableParallelism(), size - 1))
}
