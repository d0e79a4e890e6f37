/** Sources of plaintext, and how they come into the object's own buffers. */
import { unlessAborted, untilAborted } from './cancel.js'

/** Writes plaintext where the sealer wants it, so that no byte is copied on its way: a file's read(2), for one. */
export interface PlaintextReader {
  /**
   * Writes 1 to `target.length` bytes to the beginning of `target` and resolves with their number; 0 at the end. Asked
   * again only after it has settled.
   */
  read(target: Uint8Array): Promise<number>
}

/** Chunks of bytes, each used before the next is requested; or a reader. */
export type PlaintextSource = AsyncIterable<Uint8Array> | Iterable<Uint8Array> | PlaintextReader

function isReader(source: PlaintextSource): source is PlaintextReader {
  return 'read' in source && typeof source.read === 'function' && !(Symbol.asyncIterator in source)
}

/** The source as chunks. Those of a reader are views on one buffer of `length` bytes, which is wiped at the end. */
export function chunksOf(
  source: PlaintextSource,
  length: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  return untilAborted(isReader(source) ? chunksOfReader(source, length) : source, signal)
}

async function* chunksOfReader(source: PlaintextReader, length: number): AsyncGenerator<Uint8Array, void, void> {
  const buffer = Buffer.allocUnsafeSlow(length)
  try {
    for (let taken = await readInto(source, buffer); taken > 0; taken = await readInto(source, buffer)) {
      yield buffer.subarray(0, taken)
    }
  } finally {
    buffer.fill(0)
  }
}

async function readInto(source: PlaintextReader, target: Uint8Array): Promise<number> {
  const taken = await source.read(target)
  if (!Number.isInteger(taken) || taken < 0 || taken > target.length) {
    throw new TypeError(`the source of plaintext says that it gave ${taken} bytes where ${target.length} had room`)
  }
  return taken
}

/** A source that fills what it is given. Close it on every path. */
export interface Filler {
  /** Writes `target` from its beginning; resolves with fewer than its length only at the source's end. */
  fill(target: Uint8Array): Promise<number>
  close(): Promise<void>
}

/** Throws the signal's reason as soon as it aborts, also while the source hangs. */
export function fillerOf(source: PlaintextSource, signal: AbortSignal | undefined): Filler {
  return isReader(source) ? new ReaderFiller(source, signal) : new ChunkFiller(source, signal)
}

class ReaderFiller implements Filler {
  readonly #source: PlaintextReader
  readonly #signal: AbortSignal | undefined

  constructor(source: PlaintextReader, signal: AbortSignal | undefined) {
    this.#source = source
    this.#signal = signal
  }

  async fill(target: Uint8Array): Promise<number> {
    let filled = 0
    while (filled < target.length) {
      this.#signal?.throwIfAborted()
      const taken = await this.#read(target.subarray(filled))
      if (taken === 0) break
      filled += taken
    }
    return filled
  }

  close(): Promise<void> {
    return Promise.resolve()
  }

  async #read(place: Uint8Array): Promise<number> {
    const reading = readInto(this.#source, place)
    if (!this.#signal) return reading
    try {
      return await unlessAborted(reading, this.#signal)
    } catch (error) {
      // After an abort it may still write there, when all else has been wiped.
      const wipe = (): void => void place.fill(0)
      reading.then(wipe, wipe)
      throw error
    }
  }
}

class ChunkFiller implements Filler {
  readonly #chunks: AsyncGenerator<Uint8Array>
  #chunk: Uint8Array = new Uint8Array(0)

  constructor(source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>, signal: AbortSignal | undefined) {
    this.#chunks = untilAborted(source, signal)
  }

  async fill(target: Uint8Array): Promise<number> {
    let filled = 0
    while (filled < target.length) {
      if (this.#chunk.length === 0) {
        const next = await this.#chunks.next()
        if (next.done) break
        assertBytes(next.value)
        this.#chunk = next.value
        continue
      }
      const take = Math.min(this.#chunk.length, target.length - filled)
      target.set(this.#chunk.subarray(0, take), filled)
      this.#chunk = this.#chunk.subarray(take)
      filled += take
    }
    return filled
  }

  async close(): Promise<void> {
    await this.#chunks.return(undefined)
  }
}

/** Throws TypeError: sources may come from untyped code. */
export function assertBytes(chunk: unknown): asserts chunk is Uint8Array {
  if (!(chunk instanceof Uint8Array)) throw new TypeError('the source of plaintext must give bytes')
}
