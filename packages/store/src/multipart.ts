/**
 * A multipart upload through lib-storage's `Upload`, with additions for its gaps (3.1173.0, read in its source):
 *
 * - Its chunker joins buffers of exactly one part in a copy of two (`Buffer.concat` in getChunkStream, which yields a
 *   part only when more than a part is there). So its uploaders get our parts directly, and nothing is copied or read
 *   ahead. A test proves that the sent buffers are the caller's.
 * - `abort()` rejects at once, while parts continue and before the server has aborted; and it passes no `abortSignal`
 *   to requests. So it is not used. Requests go through a client that knows the signal, `done()` ends when all of them
 *   have settled, and we abort the upload ourselves (uploads.ts) and wait for the server's answer.
 * - Its parameters reach CompleteMultipartUpload whole, If-None-Match included; `MpuObjectSize`, by which a store
 *   checks the sum of the parts, is added here.
 */
import {
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  UploadPartCommand,
  type CompleteMultipartUploadCommandOutput,
  type PutObjectCommandInput,
  type S3Client,
} from '@aws-sdk/client-s3'
import { Upload } from '@aws-sdk/lib-storage'
import type { PartDigest } from './digests.js'
import type { InactivityWatch } from './inactivity.js'
import type { S3Connection } from './s3-connection.js'
import type { PartSource } from './part-source.js'

export interface MultipartRequest {
  readonly params: Omit<PutObjectCommandInput, 'Body' | 'ContentLength'> & { readonly Key: string }
  readonly length: number
  readonly partSize: number
  readonly queueSize: number
  /** Aborted by the caller's signal and by the first failure, so that parts in flight end soon. */
  readonly stop: AbortController
  readonly watch: InactivityWatch
  readonly onProgress: (confirmed: number) => void
}

/** The progress of an upload, for code that cleans up or checks whether it succeeded. */
export class MultipartUpload {
  /** CreateMultipartUpload was sent: an upload may exist even if its id never reached us. */
  created: 'no' | 'asked' | 'once' | 'with-retries' = 'no'
  uploadId: string | undefined
  /** CompleteMultipartUpload was sent: the object may exist. */
  completing = false
  readonly parts: PartDigest[] = []

  readonly #link: S3Connection
  readonly #request: MultipartRequest
  readonly #source: PartSource
  #confirmed = 0

  constructor(link: S3Connection, request: MultipartRequest, source: PartSource) {
    this.#link = link
    this.#request = request
    this.#source = source
  }

  /** Resolves with the store's answer; rejects when the first failure is known and every request has settled. */
  async run(): Promise<CompleteMultipartUploadCommandOutput> {
    const { params, length, partSize, queueSize, stop } = this.#request
    const upload = new Upload({
      client: this.#clientForUpload(),
      params: { ...params, Body: new Uint8Array(0), ContentLength: length },
      partSize,
      queueSize,
      leavePartsOnError: true,
    })
    const parts = this.#source.parts(length, partSize, stop.signal)
    const uploader: unknown = upload['__doConcurrentUpload']
    if (typeof uploader !== 'function') throw new TypeError('this release of lib-storage has no uploaders as known')
    const upstream = () => Reflect.apply(uploader, upload, [parts]) as Promise<void>
    Object.assign(upload, { __doConcurrentUpload: () => this.#orStop(upstream()) })
    return await upload.done()
  }

  /** An uploader whose source fails ends the others' requests, too. */
  async #orStop(uploader: Promise<void>): Promise<void> {
    try {
      await uploader
    } catch (error) {
      this.#request.stop.abort(error)
      throw error
    }
  }

  #clientForUpload(): S3Client {
    const send = async (command: unknown): Promise<unknown> => {
      if (command instanceof CompleteMultipartUploadCommand) return await this.#complete(command)
      try {
        if (command instanceof UploadPartCommand) return await this.#part(command)
        if (command instanceof CreateMultipartUploadCommand) return await this.#create(command)
        throw new TypeError('lib-storage sent a command that this release of it is not known to send')
      } catch (error) {
        // At once: the uploader that gets this error first waits for the feeder, which may wait for a slow source.
        this.#request.stop.abort(error)
        throw error
      }
    }
    const client = Object.create(this.#link.client) as S3Client
    return Object.defineProperty(client, 'send', { value: send })
  }

  async #create(command: CreateMultipartUploadCommand) {
    this.created = 'asked'
    const { params, stop } = this.#request
    const options = { what: `start of the upload of ${params.Key}`, signal: stop.signal }
    const answer = await this.#link.request(options, (client, o) => client.send(command, o))
    this.uploadId = answer.UploadId
    this.created = (answer.$metadata.attempts ?? 1) > 1 ? 'with-retries' : 'once'
    return answer
  }

  async #part(command: UploadPartCommand) {
    const { params, stop, watch, onProgress } = this.#request
    const number = command.input.PartNumber ?? 0
    const data = command.input.Body as Uint8Array
    const options = { what: `part ${number} of ${params.Key}`, signal: stop.signal, bytes: data.byteLength }
    watch.enter()
    try {
      const answer = await this.#link.request(options, (client, o) => client.send(command, o))
      this.parts[number - 1] = { etag: answer.ETag, crc32: answer.ChecksumCRC32 }
      this.#confirmed += data.byteLength
      onProgress(this.#confirmed)
      return answer
    } finally {
      watch.leave()
      this.#source.settle(data)
    }
  }

  async #complete(command: CompleteMultipartUploadCommand) {
    const { params, length, stop } = this.#request
    const sized = new CompleteMultipartUploadCommand({ ...command.input, MpuObjectSize: length })
    const options = { what: `completion of ${params.Key}`, signal: stop.signal }
    this.completing = true
    return await this.#link.request(options, (client, o) => client.send(sized, o))
  }
}
