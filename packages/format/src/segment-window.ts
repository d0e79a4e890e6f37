/** How many segments of one file are in the kernel at once, and the order in which they come back. */
import type { Kernel, Segment } from '@sealfleet/kernel'

const MAX_SEGMENTS = 6
const MAX_BYTES = 8 * 2 ** 20

/**
 * Segments of one file that are sealed at once. They lie in the object's own buffers, so their number costs no memory:
 * enough that threads on two cores, two lanes each, always find the next two.
 */
export const SEALED_AT_ONCE = 12

/**
 * Segments of one file that are opened or verified at once, each in memory of its own. 2 to 6: enough for two cores with
 * two lanes each at segments of 1 MiB, and 32 MiB at most.
 */
export function segmentsAtOnce(segmentSize: number): number {
  return Math.max(2, Math.min(MAX_SEGMENTS, Math.floor(MAX_BYTES / segmentSize)))
}

interface Running<T> {
  readonly work: T
  readonly done: Promise<boolean>
  /** `done` has settled. */
  over: boolean
}

/**
 * Segments of one file, which leave in the order in which they came. They go to the kernel in twos, which two lanes
 * take together.
 */
export class SegmentWindow<T extends { readonly segment: Segment }> {
  readonly #kernel: Kernel
  #held: { readonly work: T; readonly submit: () => void } | undefined
  readonly #running: Running<T>[] = []

  constructor(kernel: Kernel) {
    this.#kernel = kernel
  }

  /** Segments that have not left. */
  get size(): number {
    return this.#running.length
  }

  /** `next` would not wait. */
  get oldestIsDone(): boolean {
    return this.#running[0]?.over === true
  }

  /** Its memory is the kernel's until it has left. */
  add(work: T): void {
    let submit: () => void = () => undefined
    const done = new Promise<void>((resolve) => (submit = resolve)).then(() => this.#kernel.run(work.segment))
    const running = { work, done, over: false }
    const over = () => void (running.over = true)
    // A failure is noticed when it leaves; before that it must not count as unhandled.
    done.then(over, over)
    this.#running.push(running)
    if (this.#held === undefined) this.#held = { work, submit }
    else {
      this.flush()
      submit()
    }
  }

  /** Does not wait for a second segment any more. */
  flush(): void {
    this.#held?.submit()
    this.#held = undefined
  }

  /** The oldest, when the kernel is done with it; rejects as `Kernel.run` does. Undefined when there is none. */
  async next(): Promise<{ readonly work: T; readonly authentic: boolean } | undefined> {
    const oldest = this.#running[0]
    if (oldest === undefined) return undefined
    if (this.#held?.work === oldest.work) this.flush()
    const authentic = await oldest.done
    this.#running.shift()
    return { work: oldest.work, authentic }
  }

  /** Resolves when the kernel has left all memory alone, with what never left by `next`. Never rejects. */
  async end(): Promise<readonly T[]> {
    this.flush()
    const left = this.#running.splice(0)
    await Promise.allSettled(left.map(({ done }) => done))
    return left.map(({ work }) => work)
  }
}
