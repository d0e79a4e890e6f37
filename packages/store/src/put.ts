/**
 * Writes one object: a single request when it fits into one part, else a multipart upload. When `put` throws, every
 * request has settled, every buffer has been returned and no unfinished upload is left (or a warning said so).
 */
import { PutObjectCommand } from '@aws-sdk/client-s3'
import { setMaxListeners } from 'node:events'
import type { Capabilities } from './capabilities.js'
import type { StoreError } from './errors.js'
import { checksumIn, checksumOfBytes, checksumOfParts, etagOfBytes, etagOfParts } from './digests.js'
import { head, knownVersion, quotedEtag } from './head.js'
import { InactivityWatch } from './inactivity.js'
import { partSizeFor, queueSizeFor, type Limits } from './limits.js'
import { timeout, type S3Connection } from './s3-connection.js'
import { ATTEMPT } from './metadata.js'
import { MultipartUpload } from './multipart.js'
import type { PutAnswer } from './plain-put.js'
import { assertCommittedPut, findCommittedPut, mayHaveCommitted, type Expected } from './lost-reply.js'
import { onlyPart, PartSource } from './part-source.js'
import type { ObjectHead, PutRequest, PutResult } from './types.js'
import { abortOrphanedUpload } from './uploads.js'

export interface PutContext {
  readonly link: S3Connection
  readonly bucket: string
  readonly capabilities: Capabilities
  readonly limits: Limits
  readonly onWarning: (warning: StoreError) => void
}

interface Making {
  readonly source: PartSource
  readonly partSize: number
  readonly stop: AbortController
}

/**
 * Throws SOURCE_TOO_LARGE before it reads the body; the caller's abort reason; the body's own error; or a StoreError.
 */
export async function put(context: PutContext, request: PutRequest): Promise<PutResult> {
  const partSize = partSizeFor(request.length, context.limits)
  const { signal } = request
  signal?.throwIfAborted()
  const stop = new AbortController()
  // Every part in flight listens; more than ten listeners are no leak.
  setMaxListeners(0, stop.signal)
  const onAbort = () => stop.abort(signal?.reason)
  signal?.addEventListener('abort', onAbort, { once: true })
  const source = new PartSource(request.body, (buffer) => request.onPartSettled?.(buffer))
  const making: Making = { source, partSize, stop }
  try {
    return await (request.length <= partSize
      ? putWhole(context, request, making)
      : putInParts(context, request, making))
  } catch (error) {
    signal?.throwIfAborted()
    throw error
  } finally {
    signal?.removeEventListener('abort', onAbort)
    await source.close(context.link.abortTimeoutMs)
  }
}

async function putWhole(
  context: PutContext,
  request: PutRequest,
  { source, partSize, stop }: Making,
): Promise<PutResult> {
  const { link, capabilities } = context
  const data = await onlyPart(source.parts(request.length, partSize, stop.signal))
  const expected = (): Expected => ({
    etag: capabilities.etagIsMd5.put ? etagOfBytes(data) : undefined,
    checksum: capabilities.checksumInHead ? checksumOfBytes(data) : undefined,
  })
  const fields = params(context, request, capabilities.ifNoneMatch.put)
  const command = () => new PutObjectCommand({ ...fields, Body: data, ContentLength: data.byteLength })
  const plain = {
    key: request.key,
    data,
    contentType: fields.ContentType,
    metadata: fields.Metadata,
    ifNoneMatch: fields.IfNoneMatch !== undefined,
  }
  const options = { what: `put of ${request.key}`, signal: stop.signal, bytes: data.byteLength }
  try {
    const answer: PutAnswer = await link.request(
      options,
      async (client, o) => (await link.plainPut?.send(plain, o)) ?? (await client.send(command(), o)),
    )
    request.onProgress?.({ confirmed: request.length, total: request.length })
    // The store has checked the body's CRC-32; our own MD5 is only for an answer that never comes.
    return await finished(context, request, answer, () => ({ etag: undefined, checksum: undefined }))
  } catch (error) {
    stop.signal.throwIfAborted()
    return await recovered(context, request, expected, error)
  }
}

async function putInParts(
  context: PutContext,
  request: PutRequest,
  { source, partSize, stop }: Making,
): Promise<PutResult> {
  const { link, bucket, capabilities, limits, onWarning } = context
  const { key, length, onProgress } = request
  const silence = timeout(`put of ${key}: no part was confirmed for ${link.inactivityTimeoutMs} ms`)
  using watch = new InactivityWatch(link.inactivityTimeoutMs, () => stop.abort(silence))
  const upload = new MultipartUpload(
    link,
    {
      params: params(context, request, capabilities.ifNoneMatch.complete),
      length,
      partSize,
      queueSize: queueSizeFor(length, limits),
      stop,
      watch,
      onProgress: (confirmed) => onProgress?.({ confirmed, total: length }),
    },
    source,
  )
  const expected = (): Expected => ({
    etag: capabilities.etagIsMd5.multipart ? etagOfParts(upload.parts) : undefined,
    checksum: capabilities.checksumInHead ? checksumOfParts(upload.parts) : undefined,
  })
  let done = false
  try {
    const answer = await upload.run()
    done = true
    return await finished(context, request, answer, expected)
  } catch (error) {
    stop.signal.throwIfAborted()
    if (done || !upload.completing) throw error
    const result = await recovered(context, request, expected, error)
    done = true
    return result
  } finally {
    const { uploadId } = upload
    if (!done && upload.created !== 'no')
      await abortOrphanedUpload(link, { bucket, key, uploadId }, capabilities, onWarning)
    // The first try's upload, whose answer was lost, is still there beside the finished one.
    if (done && upload.created === 'with-retries')
      await abortOrphanedUpload(link, { bucket, key, uploadId: undefined }, capabilities, onWarning)
  }
}

function params({ bucket }: PutContext, request: PutRequest, ifNoneMatch: boolean) {
  return {
    Bucket: bucket,
    Key: request.key,
    ContentType: 'application/octet-stream',
    Metadata: { ...request.metadata },
    ...(ifNoneMatch && request.replace !== true && { IfNoneMatch: '*' }),
  }
}

/** After a success. If the store keeps versions, the answer or a HEAD must name the version. */
async function finished(
  context: PutContext,
  request: PutRequest,
  answer: PutAnswer,
  expected: () => Expected,
): Promise<PutResult> {
  const { link, bucket, capabilities } = context
  const { key, length, signal } = request
  const version = knownVersion(answer.VersionId)
  const attempt = request.metadata[ATTEMPT]
  const etag = quotedEtag(answer.ETag)
  if (!etag || (capabilities.versioning && version === undefined)) {
    const found = await head(link, { bucket, key, signal })
    if (attempt !== undefined) assertCommittedPut(found, attempt, length, expected())
    return resultOf(found, false)
  }
  const checksum = checksumIn(answer)
  const made: ObjectHead = {
    key,
    length,
    etag,
    metadata: request.metadata,
    ...(version !== undefined && { version }),
    ...(checksum && { checksum }),
  }
  // Length and attempt are those that were sent; this compares the digests.
  if (attempt !== undefined) assertCommittedPut(made, attempt, length, expected())
  return resultOf(made, false)
}

/** After a refusal or a lost answer. Throws the error unless the object turns out to be there and ours. */
async function recovered(
  { link, bucket }: PutContext,
  request: PutRequest,
  expected: () => Expected,
  error: unknown,
): Promise<PutResult> {
  if (!mayHaveCommitted(error)) throw error
  const found = await findCommittedPut(link, bucket, request, expected, error)
  if (found) return resultOf(found, true)
  throw error
}

function resultOf({ etag, version, length, checksum }: ObjectHead, isRecovered: boolean): PutResult {
  return {
    etag,
    length,
    recovered: isRecovered,
    ...(version !== undefined && { version }),
    ...(checksum && { checksum }),
  }
}
