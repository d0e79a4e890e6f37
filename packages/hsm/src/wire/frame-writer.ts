import type { Writable } from 'node:stream'

import { frameSize, putFrame, type Kind } from './frames.js'

/** Enough for the operations of one turn; a larger frame gets its own buffer. */
const BATCH = 8 * 1024

/**
 * Writes frames. The frames of one turn of the event loop go into one buffer and leave in one system call. A buffer is
 * filled with zeros, and used again, once the kernel has its bytes or never will.
 */
export class FrameWriter {
  readonly #stream: Writable
  #batch: Buffer = Buffer.allocUnsafeSlow(BATCH)
  #length = 0
  #spare: Buffer | undefined
  readonly #flushNow = () => {
    this.flush()
  }

  constructor(stream: Writable) {
    this.#stream = stream
  }

  /** The parts are copied. Throws RangeError for a frame that is too long. */
  send(kind: Kind, id: number, parts: readonly Uint8Array[]): void {
    const length = frameSize(parts)
    if (this.#length + length > this.#batch.length) {
      this.flush()
      if (length > this.#batch.length) this.#batch = Buffer.allocUnsafeSlow(length)
    }
    if (this.#length === 0) {
      process.nextTick(this.#flushNow)
    }
    putFrame(this.#batch, this.#length, { kind, id, parts, length })
    this.#length += length
  }

  sendJson(kind: Kind, id: number, value: unknown): void {
    this.send(kind, id, [Buffer.from(JSON.stringify(value), 'utf8')])
  }

  /** Writes the frames of this turn. Runs by itself at the end of the turn; code that ends the stream calls it, too. */
  flush(): void {
    if (this.#length === 0) return
    const batch = this.#batch
    const bytes = batch.subarray(0, this.#length)
    this.#batch = this.#spare ?? Buffer.allocUnsafeSlow(BATCH)
    this.#spare = undefined
    this.#length = 0
    this.#stream.write(bytes, () => {
      bytes.fill(0)
      if (batch.length === BATCH) this.#spare = batch
    })
  }
}
