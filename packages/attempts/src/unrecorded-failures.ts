import { classify } from '@sealfleet/failures'

/** A failure to record as soon as the database is back. */
export interface Owed {
  /** One activation of a job. */
  readonly owner: string
  readonly record: () => Promise<unknown>
}

/** An attempt has ended and its outcome could not be recorded in the database. Its code is that of its cause. */
export class UnrecordedError extends Error {
  override readonly name = 'UnrecordedError'
  readonly owed: Owed

  constructor(owed: Owed, options: { readonly cause: unknown }) {
    super('the outcome of an attempt could not be recorded', options)
    this.owed = owed
  }
}

/**
 * Outcomes of attempts that an outage of the database kept from being recorded. Recording them later frees the files at
 * once and counts no crash; otherwise each lease would run out and count as a crash, and after three of them a file is
 * dead.
 */
export class UnrecordedFailures {
  readonly #owed = new Map<string, Owed>()

  add(owed: Owed): void {
    this.#owed.set(owed.owner, owed)
  }

  get size(): number {
    return this.#owed.size
  }

  /** Records them all. Throws on an outage; those recorded by then stay recorded. */
  async flush(): Promise<void> {
    for (const [owner, { record }] of this.#owed) {
      try {
        await record()
      } catch (error) {
        // The database would refuse this one every time: its lease has to run out.
        if (classify(error, { during: 'database' }).failure.exitStatus === 6) throw error
      }
      this.#owed.delete(owner)
    }
  }
}
