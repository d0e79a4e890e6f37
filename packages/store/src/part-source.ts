/** A caller's buffers on their way into requests: checked for size, and each returned exactly once. */
import { setTimeout as delay } from 'node:timers/promises'
import { fixFor } from './classify.js'
import { StoreError } from './errors.js'
import { partCount } from './limits.js'

/** The interface that lib-storage's uploaders expect of their feeder. */
export interface Part {
  readonly partNumber: number
  readonly data: Uint8Array
  readonly lastPart: boolean
}

export class PartSource {
  readonly #iterator: AsyncIterator<Uint8Array>
  readonly #onSettled: (buffer: Uint8Array) => void
  readonly #held = new Set<Uint8Array>()
  #ended = false

  constructor(body: AsyncIterable<Uint8Array>, onSettled: (buffer: Uint8Array) => void) {
    this.#iterator = body[Symbol.asyncIterator]()
    this.#onSettled = onSettled
  }

  /**
   * Yields the parts in order, each on request: nothing is read ahead. Throws LENGTH_MISMATCH when the body's length
   * differs from the announced one, the body's own errors unchanged, and the signal's reason at once, even while the
   * body hangs.
   */
  async *parts(length: number, partSize: number, signal: AbortSignal): AsyncGenerator<Part, void, undefined> {
    const count = length === 0 ? 0 : partCount(length, partSize)
    for (let partNumber = 1; partNumber <= count; partNumber++) {
      const lastPart = partNumber === count
      const expected = lastPart ? length - partSize * (count - 1) : partSize
      const data = await this.#next(signal)
      if (data?.byteLength !== expected) {
        throw mismatch(`part ${partNumber} of ${count} has ${data?.byteLength ?? 0} bytes instead of ${expected}`)
      }
      yield { partNumber, data, lastPart }
    }
    const more = await this.#next(signal)
    if (more !== undefined) throw mismatch(`the body continues after its ${length} bytes`)
  }

  /** Returns one buffer: its request has settled. */
  settle(buffer: Uint8Array): void {
    if (this.#held.delete(buffer)) this.#onSettled(buffer)
  }

  /** Returns the remaining buffers and ends the body; waits for its `finally`, but not forever. */
  async close(timeoutMs: number): Promise<void> {
    for (const buffer of [...this.#held]) this.settle(buffer)
    if (this.#ended) return
    this.#ended = true
    const returned = this.#iterator.return?.()
    if (returned === undefined) return
    const patience = new AbortController()
    const late = delay(timeoutMs, undefined, { signal: patience.signal, ref: false })
    // allSettled: an error while ending a cut-off body says nothing about the object.
    await Promise.race([Promise.allSettled([returned]), Promise.allSettled([late])])
    patience.abort()
  }

  async #next(signal: AbortSignal): Promise<Uint8Array | undefined> {
    signal.throwIfAborted()
    const pending = this.#iterator.next()
    let onAbort = () => {}
    const aborted = new Promise<'aborted'>((resolve) => (onAbort = () => resolve('aborted')))
    signal.addEventListener('abort', onAbort, { once: true })
    // The body itself may have aborted while it ran.
    if (signal.aborted) onAbort()
    try {
      const result = await Promise.race([pending, aborted])
      if (result === 'aborted') {
        void this.#giveBackLate(pending)
        throw signal.reason
      }
      if (result.done) {
        this.#ended = true
        return undefined
      }
      this.#held.add(result.value)
      return result.value
    } catch (error) {
      if (!signal.aborted) this.#ended = true
      throw error
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
  }

  async #giveBackLate(pending: Promise<IteratorResult<Uint8Array>>): Promise<void> {
    const [settled] = await Promise.allSettled([pending])
    if (settled.status === 'fulfilled' && !settled.value.done) this.#onSettled(settled.value.value)
  }
}

/** The whole body as one buffer, for an object of one part. */
export async function onlyPart(parts: AsyncIterable<Part>): Promise<Uint8Array> {
  let data: Uint8Array = new Uint8Array(0)
  for await (const part of parts) data = part.data
  return data
}

function mismatch(message: string): StoreError {
  return new StoreError('LENGTH_MISMATCH', message, { fix: fixFor('LENGTH_MISMATCH') })
}
