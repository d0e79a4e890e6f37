/**
 * Reports when requests are in flight and none of them settles for too long. Silent while none is in flight: then the
 * source is slow.
 */
export class InactivityWatch implements Disposable {
  readonly #timeoutMs: number
  readonly #onSilence: () => void
  #inFlight = 0
  #timer: NodeJS.Timeout | undefined

  constructor(timeoutMs: number, onSilence: () => void) {
    this.#timeoutMs = timeoutMs
    this.#onSilence = onSilence
  }

  enter(): void {
    this.#inFlight++
    if (this.#inFlight === 1) this.#arm()
  }

  /** A request settled. */
  leave(): void {
    this.#inFlight--
    this.#arm()
  }

  #arm(): void {
    clearTimeout(this.#timer)
    this.#timer = this.#inFlight > 0 ? setTimeout(this.#onSilence, this.#timeoutMs) : undefined
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer)
    this.#inFlight = 0
  }
}
