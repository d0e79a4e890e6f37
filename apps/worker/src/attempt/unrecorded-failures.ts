import { classify } from '@sealfleet/failures'

/** An attempt is over and the database could not be told so. Its code is that of its cause. */
export class UnrecordedError<End> extends Error {
  override readonly name = 'UnrecordedError'
  /** What is to be told as soon as someone listens. It burns nothing: the outage came first. */
  readonly owed: End

  constructor(owed: End, options: { readonly cause: unknown }) {
    super('the outcome of an attempt could not be recorded', options)
    this.owed = owed
  }
}

/**
 * Ends of attempts that an outage of the database kept from being recorded. Told when it is back, the files are free at once
 * and no one is blamed; untold, each lease would run out and count as a crash, and after three of them a file is dead.
 */
export class UnrecordedFailures<End extends { readonly owner: string }> {
  /** By owner, which is one activation of a job. */
  readonly #owed = new Map<string, End>()

  add(end: End): void {
    this.#owed.set(end.owner, end)
  }

  get size(): number {
    return this.#owed.size
  }

  /** Tells them all. Throws what an outage makes of it; what is told by then is told. */
  async flush(records: { readonly fail: (end: End) => Promise<unknown> }): Promise<void> {
    for (const [owner, end] of this.#owed) {
      try {
        await records.fail(end)
      } catch (error) {
        // What the database refuses once it would refuse forever: that lease has to run out.
        if (classify(error, { during: 'database' }).failure.exitStatus === 6) throw error
      }
      this.#owed.delete(owner)
    }
  }
}
