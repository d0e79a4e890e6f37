/** Thrown, and the reason of the lease's signal, when this worker may no longer touch the file. */
export class FencedError extends Error {
  override readonly name = 'FencedError'
  readonly code = 'FENCED'
}

/** Fenced by the clock alone: no other owner is known, so the outcome can still be recorded. */
export class LeaseExpiredError extends FencedError {
  constructor() {
    super('lease lost: no renewal reached the database for a whole lease')
  }
}

export interface LeaseOptions {
  /** Extends the lease in the database; false when another worker has the file now. */
  readonly renew: () => Promise<boolean>
  /** Seconds the database grants at each renewal. */
  readonly leaseSeconds: number
  readonly renewEveryMs: number
  /** Milliseconds that only go forward; `performance.now` unless a test says otherwise. */
  readonly now?: () => number
}

/**
 * A worker's right to one file, for a time.
 *
 * The database decides: the commit checks the lease by the database's clock. This class only makes a fenced worker stop
 * its I/O early. Its signal aborts when a renewal finds the file taken, or when no renewal has succeeded for a whole
 * lease (database out of reach, process stopped and continued).
 */
export class Lease implements AsyncDisposable {
  readonly signal: AbortSignal
  readonly #abort = new AbortController()
  readonly #options: LeaseOptions
  readonly #now: () => number
  readonly #timer: NodeJS.Timeout
  #goodUntil: number
  #renewal: Promise<void> | undefined

  /** Starts renewing a lease that was just granted. */
  constructor(options: LeaseOptions) {
    this.#options = options
    this.#now = options.now ?? (() => performance.now())
    this.#goodUntil = this.#now() + options.leaseSeconds * 1000
    this.signal = this.#abort.signal
    this.#timer = setInterval(() => this.#tick(), options.renewEveryMs)
    this.#timer.unref()
  }

  /** Throws when the lease is known to be lost. */
  assertHeld(): void {
    if (this.#now() > this.#goodUntil) this.#lose(new LeaseExpiredError())
    this.signal.throwIfAborted()
  }

  #tick(): void {
    if (this.signal.aborted) return
    if (this.#now() > this.#goodUntil) {
      this.#lose(new LeaseExpiredError())
      return
    }
    this.#renewal ??= this.#renew().finally(() => {
      this.#renewal = undefined
    })
  }

  async #renew(): Promise<void> {
    const askedAt = this.#now()
    try {
      if (await this.#options.renew()) this.#goodUntil = askedAt + this.#options.leaseSeconds * 1000
      else this.#lose(new FencedError('lease lost: another attempt has the file'))
    } catch {
      // The database is out of reach for the moment. The next tick tries again; #goodUntil decides when to give up.
      return
    }
  }

  #lose(why: FencedError): void {
    this.#abort.abort(why)
  }

  /** Stops renewing and waits for a renewal under way. The database's lease ends by commit, release or expiry. */
  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer)
    await this.#renewal
  }
}
