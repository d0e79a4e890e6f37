/** A job in progress in this process. */
export interface ActiveJob {
  readonly jobId: string
  /** When it began, on the clock of `performance.now()`. */
  readonly since: number
}

/**
 * Tracks the jobs of this process and the time of the last progress: a job began or ended, bytes were read from a
 * source, a part was settled by the store.
 */
export class Activity {
  readonly #jobs = new Set<ActiveJob>()
  readonly #now: () => number
  #movedAt: number

  constructor(now: () => number = () => performance.now()) {
    this.#now = now
    this.#movedAt = now()
  }

  get movedAt(): number {
    return this.#movedAt
  }

  get jobs(): readonly ActiveJob[] {
    return [...this.#jobs]
  }

  /** Bytes moved. Cheap: called for every read. */
  moved(): void {
    this.#movedAt = this.#now()
  }

  /** Dispose when the job has ended, with any outcome. */
  began(jobId: string): Disposable {
    this.moved()
    const job = { jobId, since: this.#now() }
    this.#jobs.add(job)
    return {
      [Symbol.dispose]: () => {
        this.#jobs.delete(job)
        this.moved()
      },
    }
  }
}
