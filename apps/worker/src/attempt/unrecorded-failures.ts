import { classify } from '@sealfleet/failures'

/** An attempt has ended and its outcome could not be recorded in the database. Its code is that of its cause. */
export class UnrecordedError<End> extends Error {
  override readonly name = 'UnrecordedError'
  /** The failure to record as soon as the database is back. It does not count as an attempt: the outage came first. */
  readonly owed: End

  constructor(owed: End, options: { readonly cause: unknown }) {
    super('the outcome of an attempt could not be recorded', options)
    this.owed = owed
  }
}

/**
 * Outcomes of attempts that an outage of the database kept from being recorded. Recording them later frees the files at
 * once and counts no crash; otherwise each lease would run out and count as a crash, and after three of them a file is
 * dead.
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

  /** Records them all. Throws on an outage; those recorded by then stay recorded. */
  async flush(records: { readonly fail: (end: End) => Promise<unknown> }): Promise<void> {
    for (const [owner, end] of this.#owed) {
      try {
        await records.fail(end)
      } catch (error) {
        // The database would refuse this one every time: its lease has to run out.
        if (classify(error, { during: 'database' }).failure.exitStatus === 6) throw error
      }
      this.#owed.delete(owner)
    }
  }
}
