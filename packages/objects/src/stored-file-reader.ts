import {
  openObject,
  verifyObject,
  type OpenedObject,
  type ReadOptions,
  type VerifyOptions,
  type VerifyResult,
} from '@sealfleet/format'
import { StoreError } from '@sealfleet/store'
import type { StoredFile, StoredFiles } from './stored-files.js'

/**
 * How often one read may continue in another object. A file is re-encrypted once per rotation, and its old object stays
 * for a grace of hours: more than a few moves mean that something else deletes objects.
 */
const MAX_RELOCATIONS = 5

/** A stored file, open for one read that survives a re-encryption. Dispose of it: it holds keys. */
export interface StoredFileReader extends Disposable {
  readonly stored: StoredFile
  /** Bytes of the file. */
  readonly length: number
  /**
   * The whole plaintext, in buffers that belong to the caller. Success only at its end. When the object is deleted
   * meanwhile, because the file was re-encrypted and the grace is over, the record is read again and the read continues
   * at its offset in the new object, where every byte is authenticated. Throws as openObject and its readers do.
   */
  readAll(options: ReadOptions): AsyncGenerator<Buffer, void, void>
  /** Bytes [start, end) likewise. */
  readRange(start: number, end: number, options: ReadOptions): AsyncGenerator<Buffer, void, void>
}

/** Opens a stored file. Throws what `files.find` and openObject throw. */
export async function openObjectReader(files: StoredFiles, given: string): Promise<StoredFileReader> {
  return onPresentObject(files, await files.find(given), async (stored) => {
    const { reader, options } = await files.object(stored)
    return new StoredReading(files, stored, await openObject(reader, options))
  })
}

/** Verifies a stored file's object: all of one object, the file's current one when the last byte has been read. */
export async function verifyStoredFile(
  files: StoredFiles,
  stored: StoredFile,
  onProgress: NonNullable<VerifyOptions['onProgress']>,
): Promise<VerifyResult> {
  return onPresentObject(files, stored, async (present) => {
    const { reader, options } = await files.object(present)
    return verifyObject(reader, { ...options, onProgress })
  })
}

class StoredReading implements StoredFileReader {
  readonly stored: StoredFile
  readonly length: number
  readonly #files: StoredFiles
  #present: StoredFile
  #opened: OpenedObject
  #moves = 0

  constructor(files: StoredFiles, stored: StoredFile, opened: OpenedObject) {
    this.#files = files
    this.stored = stored
    this.length = opened.plaintextLength
    this.#present = stored
    this.#opened = opened
  }

  async *readAll(options: ReadOptions): AsyncGenerator<Buffer, void, void> {
    yield* this.#read(0, this.length, options, () => this.#opened.readAll(options))
  }

  async *readRange(start: number, end: number, options: ReadOptions): AsyncGenerator<Buffer, void, void> {
    yield* this.#read(start, end, options, () => this.#opened.readRange(start, end, options))
  }

  [Symbol.dispose](): void {
    this.#opened.wipe()
  }

  async *#read(
    start: number,
    end: number,
    options: ReadOptions,
    first: () => AsyncGenerator<Buffer, void, void>,
  ): AsyncGenerator<Buffer, void, void> {
    let position = start
    let bytes = first()
    for (;;) {
      try {
        for await (const buffer of bytes) {
          // Counted before it is yielded: then it is the caller's, who may wipe it.
          position += buffer.length
          yield buffer
        }
        return
      } catch (error) {
        if (!isGone(error)) throw error
        await this.#move(error)
        // Before the first byte the same kind of read starts again: a whole read checks more than its bytes.
        bytes = position === start ? first() : this.#opened.readRange(position, end, options)
      }
    }
  }

  /** Opens the file's current object. Throws `gone` when it is the same one, or its length differs. */
  async #move(gone: StoreError): Promise<void> {
    this.#moves += 1
    if (this.#moves > MAX_RELOCATIONS) throw gone
    const { stored, opened } = await onPresentObject(
      this.#files,
      await newerThan(this.#files, this.#present, gone),
      async (present) => {
        const { reader, options } = await this.#files.object(present)
        return { stored: present, opened: await openObject(reader, options) }
      },
    )
    if (opened.plaintextLength !== this.length) {
      opened.wipe()
      throw gone
    }
    this.#opened.wipe()
    this.#present = stored
    this.#opened = opened
  }
}

/** Runs `use` on the object that the record names; when it is gone and the record names another by now, on that. */
async function onPresentObject<T>(
  files: StoredFiles,
  stored: StoredFile,
  use: (stored: StoredFile) => Promise<T>,
): Promise<T> {
  let present = stored
  for (let moves = 0; ; moves++) {
    try {
      return await use(present)
    } catch (error) {
      if (!isGone(error) || moves === MAX_RELOCATIONS) throw error
      present = await newerThan(files, present, error)
    }
  }
}

/** The file's current record. Throws `gone` when it still names the same attempt: that object is lost. */
async function newerThan(files: StoredFiles, stored: StoredFile, gone: StoreError): Promise<StoredFile> {
  const now = await files.find(stored.file.id)
  if (now.committed.id === stored.committed.id) throw gone
  return now
}

function isGone(error: unknown): error is StoreError {
  return error instanceof StoreError && error.code === 'S3_NO_SUCH_OBJECT'
}
