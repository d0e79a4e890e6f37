import { randomUUID } from 'node:crypto'
import { fileIdOf } from '../file-id.js'
import { SealfleetError } from '../sealfleet-error.js'
import type { AcceptedFile, EnqueueAnswer, FileEnd, FileStatus, NewFile, WaitOptions } from '../terms.js'
import { openContent, type ReadOptions, type StoredContent } from './download.js'
import { enqueueAnswers, enqueueOne } from './enqueue.js'
import type { CallOptions, SealfleetClientOptions } from './options.js'
import { pages } from './pages.js'
import { saveAs } from './save.js'
import { Transport, type Exchange } from './transport.js'
import type * as terms from './terms.js'
import { prepareUpload, type UploadOptions, type UploadSource } from './upload.js'
import { waitFor } from './wait.js'

/**
 * A client of the HTTP API. It holds no connection of its own and needs no closing; one serves a whole process.
 *
 * An outage is sat out by repeating the request (`retries`), after the server's Retry-After where it has one. All calls
 * throw SealfleetError, whose `code` is the fleet's, or one of this client: UNREACHABLE, TIMEOUT (no answer),
 * BAD_ANSWER (from something that is no gateway), INCOMPLETE (a download ended short), CONFIG_INVALID. An abort throws
 * the signal's reason. An `id` is the file's, or yours.
 *
 * @example
 * const client = new SealfleetClient({ baseUrl: 'https://sealfleet.example', token })
 * const { fileId } = await client.upload({ path: '/tmp/a.pdf' }, { id: 'invoice 17' })
 */
export class SealfleetClient {
  readonly #transport: Transport

  /** @throws {SealfleetError} CONFIG_INVALID for a base that cannot be used; nothing is sent */
  constructor(options: SealfleetClientOptions) {
    this.#transport = new Transport(options)
  }

  /**
   * Hands in a file whose bytes are below a root. Resolves once it is accepted.
   * @throws {SealfleetError} PAYLOAD_INVALID, REQUEST_CONFLICT, NOT_FOUND (its key domain), and as all calls
   */
  enqueue(file: NewFile, options: terms.EnqueueOptions = {}): Promise<AcceptedFile> {
    return enqueueOne(this.#transport, file, options)
  }

  /**
   * Hands in any number of files, of an array or a stream, in chunks; answers come in their order, and one bad file
   * stops no other. A chunk is read from `files` when the answers of the one before are taken, so memory stays small;
   * nothing happens until the first answer is asked for.
   */
  enqueueMany(
    files: Iterable<NewFile> | AsyncIterable<NewFile>,
    options: terms.EnqueueManyOptions = {},
  ): AsyncGenerator<EnqueueAnswer, void, undefined> {
    return enqueueAnswers(this.#transport, files, options)
  }

  /** What the fleet knows of a file; undefined: nothing. */
  async get(id: string, { signal }: CallOptions = {}): Promise<FileStatus | undefined> {
    try {
      return (await this.#transport.json({ method: 'GET', path: filePath(id), signal })) as FileStatus
    } catch (error) {
      if (error instanceof SealfleetError && error.code === 'NOT_FOUND') return undefined
      throw error
    }
  }

  /** Files by state, failure, key domain, path, batch or time, oldest first; a page is asked for when it is reached. */
  list({ signal, pageSize, ...query }: terms.FileQuery = {}): AsyncGenerator<FileStatus, void, undefined> {
    return pages<FileStatus>(this.#transport, {
      ...{ path: 'v1/files', items: 'files', signal },
      query: { ...query, limit: pageSize },
    })
  }

  /** Waits until a file has ended; an unknown one is waited for, too. @throws the signal's reason when it aborts */
  async wait(id: string, options: WaitOptions = {}): Promise<FileEnd> {
    const [end] = (await this.waitForAll([id], options)).values()
    if (end === undefined) throw new Error('a file that was waited for has ended')
    return end
  }

  /** As `wait`, for many: resolves when all have ended, with how each did, by file id. */
  waitForAll(ids: Iterable<string>, options: WaitOptions = {}): Promise<ReadonlyMap<string, FileEnd>> {
    return waitFor(ids, (id, signal) => this.get(id, { signal }), options)
  }

  /**
   * Sends bytes to be sealed; resolves when they are stored. Nothing is stored of an upload that is cut off. Bytes,
   * Blobs and files are sent again after an outage, under the same id, so that they are stored once; a stream is not.
   * @throws {SealfleetError} REQUEST_CONFLICT when the id has other bytes; and as all calls. Errors of the source
   */
  async upload(source: UploadSource, options: UploadOptions = {}): Promise<FileStatus> {
    const { id = randomUUID(), name, domain, context, sha256, signal } = options
    const { body, headers, repeatable, check } = await prepareUpload(source, sha256)
    const bound = context === undefined ? undefined : Buffer.from(context).toString('base64url')
    const exchange: Exchange = {
      method: 'PUT',
      path: `${filePath(id)}/content`,
      query: { name, domain, context: bound },
      headers: { 'content-type': 'application/octet-stream', ...headers },
      body,
      repeatable,
      limited: false,
      signal,
    }
    try {
      return (await this.#transport.json(exchange)) as FileStatus
    } catch (error) {
      check()
      throw error
    }
  }

  /**
   * Reads a file, or a part of it, chunk by chunk. A download that is cut off continues where it was, as long as the
   * file is the same.
   * @throws {SealfleetError} NOT_FOUND, FILE_NOT_STORED, RANGE_UNSATISFIABLE; while it is read, INCOMPLETE
   */
  read(id: string, options: ReadOptions = {}): Promise<StoredContent> {
    return openContent(this.#transport, `${filePath(id)}/content`, options)
  }

  /** As `read`, whole in memory. */
  async readBytes(id: string, options: ReadOptions = {}): Promise<Uint8Array> {
    const content = await this.read(id, options)
    const bytes = new Uint8Array(content.length)
    let at = 0
    for await (const chunk of content) {
      bytes.set(chunk, at)
      at += chunk.length
    }
    return bytes
  }

  /**
   * As `read`, into a file of this machine that appears when it is whole; after a failure nothing is left.
   * @throws also EEXIST when something has that name, unless `overwrite`
   */
  async readToFile(
    id: string,
    path: string,
    { overwrite = false, ...options }: ReadOptions & { readonly overwrite?: boolean | undefined } = {},
  ): Promise<void> {
    await saveAs(await this.read(id, options), path, overwrite)
  }

  /**
   * Deletes a file, as `sealfleet rm` does. `reason`: 1 to 2,000 characters, for the audit log.
   * @throws {SealfleetError} NOT_FOUND, HELD, BAD_STATE
   */
  async remove(id: string, { reason, signal }: CallOptions & { readonly reason: string }): Promise<void> {
    const response = await this.#transport.send({ method: 'DELETE', path: filePath(id), query: { reason }, signal })
    await response.body?.cancel()
  }

  /** Has the stored object read and checked, without decrypting it, as `sealfleet verify` does. */
  async verify(id: string, { signal }: CallOptions = {}): Promise<terms.VerifyReport> {
    const path = `${filePath(id)}/verify`
    return (await this.#transport.json({ method: 'POST', path, limited: false, signal })) as terms.VerifyReport
  }

  /** How far a batch is. @param batch its name or its id */
  async batch(batch: string, { signal }: CallOptions = {}): Promise<terms.BatchReport> {
    const path = `v1/batches/${encodeURIComponent(batch)}`
    return (await this.#transport.json({ method: 'GET', path, signal })) as terms.BatchReport
  }

  /** Open dead letters. Needs a token for on-call, as the two calls below do. */
  deadLetters({ signal, pageSize, ...query }: terms.DeadLetterQuery = {}): AsyncGenerator<
    terms.DeadLetter,
    void,
    undefined
  > {
    return pages<terms.DeadLetter>(this.#transport, {
      ...{ path: 'v1/dead-letters', items: 'deadLetters', signal },
      query: { ...query, limit: pageSize },
    })
  }

  /** Has files tried again, by the ids of their dead letters. It is not repeated after an outage. */
  async replayDeadLetters(
    ids: readonly string[],
    options: CallOptions & { readonly reason: string },
  ): Promise<unknown> {
    return this.#onCall('replay', ids, options)
  }

  /** Gives files up, by the ids of their dead letters. It is not repeated after an outage. */
  async discardDeadLetters(
    ids: readonly string[],
    options: CallOptions & { readonly reason: string },
  ): Promise<unknown> {
    return this.#onCall('discard', ids, options)
  }

  #onCall(
    step: 'replay' | 'discard',
    ids: readonly string[],
    { reason, signal }: CallOptions & { readonly reason: string },
  ): Promise<unknown> {
    const path = `v1/dead-letters/${step}`
    return this.#transport.json({ method: 'POST', path, json: { ids, reason }, repeatable: false, signal })
  }
}

function filePath(id: string): string {
  return `v1/files/${fileIdOf(id)}`
}
