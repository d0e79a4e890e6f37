/**
 * Bounds the bytes that all attempts of one process hold in part buffers.
 *
 * An attempt asks for its whole need before its first byte and gives it back at its end, so two half-served attempts
 * can never wait for each other. First come, first served: a large need is not starved by small ones behind it.
 */
export class ByteBudget {
  readonly capacity: number
  #free: number
  readonly #waiting: Waiter[] = []
  readonly #onChange: (inUse: number) => void

  /** @param onChange called with the bytes in use after each change */
  constructor(capacity: number, onChange: (inUse: number) => void = () => undefined) {
    this.capacity = capacity
    this.#free = capacity
    this.#onChange = onChange
  }

  get inUse(): number {
    return this.capacity - this.#free
  }

  get waiters(): number {
    return this.#waiting.length
  }

  /**
   * Resolves with the reserved bytes; dispose gives them back. A need above the whole capacity is served alone, with
   * the capacity as its reservation. Rejects with the signal's reason when it aborts while waiting.
   */
  async acquire(bytes: number, signal?: AbortSignal): Promise<Disposable & { readonly bytes: number }> {
    signal?.throwIfAborted()
    const need = Math.min(bytes, this.capacity)
    if (this.#waiting.length > 0 || this.#free < need) await this.#wait(need, signal)
    else this.#take(need)
    let held = true
    return {
      bytes: need,
      [Symbol.dispose]: () => {
        if (!held) return
        held = false
        this.#take(-need)
        this.#serve()
      },
    }
  }

  #take(bytes: number): void {
    this.#free -= bytes
    this.#onChange(this.inUse)
  }

  #wait(need: number, signal?: AbortSignal): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      const waiter: Waiter = {
        need,
        serve: () => {
          signal?.removeEventListener('abort', onAbort)
          resolve()
        },
      }
      const onAbort = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(waiter), 1)
        reject(signal?.reason as Error)
        this.#serve()
      }
      signal?.addEventListener('abort', onAbort, { once: true })
      this.#waiting.push(waiter)
    })
  }

  #serve(): void {
    for (let next = this.#waiting[0]; next !== undefined && next.need <= this.#free; next = this.#waiting[0]) {
      this.#waiting.shift()
      this.#take(next.need)
      next.serve()
    }
  }
}

interface Waiter {
  readonly need: number
  serve(): void
}
