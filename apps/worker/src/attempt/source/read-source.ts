import type { Source } from './open-source.js'
import { SourceError, sourceErrorFrom } from './errors.js'

/** Bytes a read asks for. One buffer is used for the whole file. */
export const READ_SIZE = 256 * 1024

/**
 * The source's bytes, in order, exactly `source.size` of them.
 *
 * Every chunk is a view on one buffer that the next read overwrites: the consumer is done with a chunk before it
 * asks for another (the sealer encrypts it at once). The buffer is plaintext and is filled with zeros at the end.
 * Throws SOURCE_CHANGED when the file turns out shorter or longer than it was when opened.
 */
export async function* readSource(source: Source, signal?: AbortSignal): AsyncGenerator<Uint8Array, void, undefined> {
  const buffer = Buffer.allocUnsafeSlow(Math.max(1, Math.min(READ_SIZE, source.size + 1)))
  let position = 0
  try {
    for (;;) {
      signal?.throwIfAborted()
      const bytesRead = await readAt(source, buffer, position)
      if (bytesRead === 0) break
      position += bytesRead
      if (position > source.size) throw changed(source, `it grew past ${source.size} bytes`)
      yield buffer.subarray(0, bytesRead)
    }
    if (position < source.size) throw changed(source, `it ended at ${position} of ${source.size} bytes`)
  } finally {
    buffer.fill(0)
  }
}

async function readAt(source: Source, buffer: Buffer, position: number): Promise<number> {
  try {
    const { bytesRead } = await source.handle.read(buffer, 0, buffer.length, position)
    return bytesRead
  } catch (error) {
    throw sourceErrorFrom(error, source.where)
  }
}

function changed(source: Source, how: string): SourceError {
  return new SourceError('SOURCE_CHANGED', `source ${source.where} changed while it was read: ${how}`)
}
