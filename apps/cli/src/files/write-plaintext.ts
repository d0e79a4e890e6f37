import type { Allocate } from '@sealfleet/format'
import type { OutputFile } from './output-file.js'

/**
 * Appends what `read` gives to `file`; resolves with the number of bytes. `read` uses the given `allocate` for its
 * buffers: each is wiped when it is written, and used again, since fresh ones of a segment's size cost page faults. While
 * one is written the next ones are read and opened.
 *
 * @param onBytes called with the bytes written so far
 */
export async function writePlaintext(
  file: Pick<OutputFile, 'write'>,
  read: (allocate: Allocate) => AsyncIterable<Buffer>,
  onBytes: (done: number) => void,
): Promise<number> {
  const buffers = new PlaintextBuffers()
  let done = 0
  let writing = Promise.resolve()
  const write = async (plaintext: Buffer): Promise<void> => {
    try {
      await file.write(plaintext)
      done += plaintext.length
    } finally {
      buffers.release(plaintext)
    }
    onBytes(done)
  }
  try {
    for await (const plaintext of read((size) => buffers.allocate(size))) {
      try {
        await writing
      } catch (error) {
        plaintext.fill(0)
        throw error
      }
      writing = write(plaintext)
      // It is waited for below; until then a failure must not count as unhandled.
      writing.catch(() => undefined)
    }
    await writing
  } finally {
    // The file is closed next.
    await Promise.allSettled([writing])
  }
  return done
}

class PlaintextBuffers {
  readonly #idle: ArrayBuffer[] = []
  readonly #own = new WeakSet<ArrayBufferLike>()

  allocate(size: number): Buffer {
    const idle = this.#idle.pop()
    if (idle !== undefined && idle.byteLength >= size) return Buffer.from(idle, 0, size)
    const fresh = new ArrayBuffer(size)
    this.#own.add(fresh)
    return Buffer.from(fresh)
  }

  /** Wipes `plaintext`, a view of what `allocate` gave. */
  release(plaintext: Buffer): void {
    plaintext.fill(0)
    if (plaintext.buffer instanceof ArrayBuffer && this.#own.has(plaintext.buffer)) this.#idle.push(plaintext.buffer)
  }
}
