/** A sealed object in a local file. */
import { constants } from 'node:fs'
import { type FileHandle, open, stat } from 'node:fs/promises'
import { FormatError } from './errors.js'
import type { ObjectReader } from './reader.js'

const CHUNK_LENGTH = 256 * 1024

export interface FileObjectReader extends ObjectReader, AsyncDisposable {
  /** Closes the file if it was opened here. */
  close(): Promise<void>
}

/**
 * Reads a file by path (opened here, closed by `close`) or by a handle that the caller keeps. Throws E_FORMAT unless it
 * is a regular file, and the file system's errors unchanged. The length is the present one; a file that shrinks later
 * ends in E_LENGTH.
 *
 * @example
 * await using reader = await fileReader('report.pdf.sealed')
 * const info = await inspectObject(reader)
 */
export async function fileReader(file: string | FileHandle): Promise<FileObjectReader> {
  const handle = typeof file === 'string' ? await openRegular(file) : file
  const close = async () => {
    if (typeof file === 'string') await handle.close()
  }
  try {
    const stats = await handle.stat()
    if (!stats.isFile()) throw notRegular()
    return {
      length: stats.size,
      read: (offset, length, options) => readFrom(handle, offset, length, options?.signal),
      close,
      [Symbol.asyncDispose]: close,
    }
  } catch (error) {
    await close()
    throw error
  }
}

/** Checked first: opening alone may rewind a tape or take a message off a device. */
async function openRegular(file: string): Promise<FileHandle> {
  if (!(await stat(file)).isFile()) throw notRegular()
  // O_NONBLOCK: if the file has become a FIFO meanwhile, opening it must not wait for a writer.
  return open(file, constants.O_RDONLY | constants.O_NONBLOCK)
}

function notRegular(): FormatError {
  return new FormatError('E_FORMAT', 'a sealed object is a regular file')
}

async function* readFrom(
  handle: FileHandle,
  offset: number,
  length: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  const buffer = Buffer.allocUnsafeSlow(Math.min(CHUNK_LENGTH, length))
  for (let done = 0; done < length;) {
    signal?.throwIfAborted()
    const { bytesRead } = await handle.read(buffer, 0, Math.min(buffer.length, length - done), offset + done)
    if (bytesRead === 0) return
    done += bytesRead
    yield buffer.subarray(0, bytesRead)
  }
}
