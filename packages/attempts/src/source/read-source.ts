import type { PlaintextReader } from '@sealfleet/format'

import type { Source } from './open-source.js'
import { SourceError, sourceErrorFrom } from './errors.js'

/** Bytes a read asks for at most: a slow file system shows often enough that it moves. */
export const READ_SIZE = 1024 * 1024

/**
 * The source's bytes, in order, exactly `source.size` of them, each read where the sealer wants it: nothing is copied,
 * and no plaintext lies anywhere else. Throws SOURCE_CHANGED when the file turns out shorter or longer than it was when
 * opened.
 */
export function readSource(source: Source): PlaintextReader {
  let position = 0
  return {
    async read(target) {
      const bytesRead = await readAt(source, target, position)
      position += bytesRead
      if (position > source.size) throw changed(source, `it grew past ${source.size} bytes`)
      if (bytesRead === 0 && position < source.size) {
        throw changed(source, `it ended at ${position} of ${source.size} bytes`)
      }
      return bytesRead
    },
  }
}

async function readAt(source: Source, target: Uint8Array, position: number): Promise<number> {
  try {
    const { bytesRead } = await source.handle.read(target, 0, Math.min(READ_SIZE, target.length), position)
    return bytesRead
  } catch (error) {
    throw sourceErrorFrom(error, source.where)
  }
}

function changed(source: Source, how: string): SourceError {
  return new SourceError('SOURCE_CHANGED', `source ${source.where} changed while it was read: ${how}`)
}
