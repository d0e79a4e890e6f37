/**
 * Reads ranges of one object, and only of that one: every request is pinned to the version, or else to the ETag. A body
 * that breaks is requested again from the byte where it broke.
 */
import { GetObjectCommand } from '@aws-sdk/client-s3'
import type { Readable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { fixFor, isStoreError, toStoreError } from './classify.js'
import { StoreError } from './errors.js'
import { quotedEtag } from './head.js'
import { timeout, type S3Connection } from './s3-connection.js'
import type { ReaderRequest, StoreReader } from './types.js'

const FIRST_PAUSE_MS = 100
const LONGEST_PAUSE_MS = 5_000

/**
 * A reader that sends no request until `read` is iterated. Throws a RangeError without a version or an ETag: two ranges
 * could then come from two objects.
 */
export function reader(link: S3Connection, bucket: string, request: ReaderRequest): StoreReader {
  if (request.version === undefined && !request.etag) throw new RangeError('a reader needs a version or an ETag')
  return {
    length: request.length,
    read: (offset, length, options) => readRange(link, bucket, request, offset, length, options?.signal),
  }
}

async function* readRange(
  link: S3Connection,
  bucket: string,
  request: ReaderRequest,
  offset: number,
  length: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  const end = offset + length
  if (
    !Number.isSafeInteger(offset) ||
    !Number.isSafeInteger(length) ||
    offset < 0 ||
    length < 0 ||
    end > request.length
  ) {
    throw new RangeError(`no such range: ${length} bytes from ${offset} of ${request.length}`)
  }
  let position = offset
  let breaks = 0
  let heardAt = performance.now()
  while (position < end) {
    const before = position
    try {
      for await (const chunk of await openRange(link, bucket, request, position, end, signal)) {
        // s3rver 3.7 answers `bytes=0-0` with the whole object: take the requested bytes and drop the rest.
        const wanted = chunk.subarray(0, end - position)
        position += wanted.byteLength
        heardAt = performance.now()
        yield wanted
        if (position === end) break
      }
      if (position < end) throw new BrokenBody(new Error('the body ended early'))
    } catch (error) {
      signal?.throwIfAborted()
      if (!(error instanceof BrokenBody)) throw error
      breaks = position > before ? 1 : breaks + 1
      const waited = performance.now() - heardAt
      if (breaks >= link.maxAttempts || waited >= link.giveUpAfterMs)
        throw toStoreError(error.cause, `read of ${request.key} at byte ${position}`)
      await pause(breaks, signal)
    }
  }
}

/** A body that stopped before its end: worth another request, unlike a refusal of the store. */
class BrokenBody extends Error {
  constructor(cause: unknown) {
    super('broken body', { cause })
  }
}

/** Node's stream of an answer's body. */
type Body = AsyncIterable<Uint8Array> & Pick<Readable, 'destroy' | 'readableLength'>

/** Requests [position, end) and returns its body, checked to be a range of the right object. */
async function openRange(
  link: S3Connection,
  bucket: string,
  request: ReaderRequest,
  position: number,
  end: number,
  signal: AbortSignal | undefined,
): Promise<AsyncGenerator<Uint8Array>> {
  const { key, version, etag } = request
  const command = new GetObjectCommand({
    Bucket: bucket,
    Key: key,
    Range: `bytes=${position}-${end - 1}`,
    ...(version !== undefined ? { VersionId: version } : { IfMatch: quotedEtag(etag) }),
  })
  const answer = await link.request({ what: `read of ${key}`, signal }, async (client, options) => {
    try {
      return await client.send(command, options)
    } catch (error) {
      throw isStoreError(toStoreError(error, ''), 'S3_OBJECT_EXISTS') ? replaced(key) : error
    }
  })
  const body = answer.Body as Body | undefined
  if (body === undefined) throw new BrokenBody(new Error('an answer without a body'))
  try {
    const other = version !== undefined ? answer.VersionId !== version : quotedEtag(answer.ETag) !== quotedEtag(etag)
    // If the store's answer omits the version, the request still named it.
    if (other && !(version !== undefined && answer.VersionId === undefined)) throw replaced(key)
    const range = /^bytes (\d+)-\d+\/(\d+)$/.exec(answer.ContentRange ?? '')
    const start = range ? Number(range[1]) : 0
    if (start !== position) throw noRanges()
    const total = range ? Number(range[2]) : answer.ContentLength
    if (total !== request.length) throw mismatch(`${key} has ${total} bytes, not the ${request.length} of its record`)
  } catch (error) {
    body.destroy()
    throw error
  }
  return chunksOf(link, key, body, signal)
}

/**
 * The body's chunks. Throws BrokenBody when it fails or falls silent; the consumer's own pauses don't count as silence.
 */
async function* chunksOf(
  { inactivityTimeoutMs, maxAttempts, giveUpAfterMs: patienceMs, silence: watch }: S3Connection,
  key: string,
  body: Body,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  const onAbort = () => body.destroy(new Error('aborted'))
  signal?.addEventListener('abort', onAbort, { once: true })
  const chunks = body[Symbol.asyncIterator]()
  const limit = Math.min(patienceMs, maxAttempts * inactivityTimeoutMs)
  const silence = timeout(`no byte of the body for ${inactivityTimeoutMs} ms`)
  try {
    for (;;) {
      // What has come already is not waited for: timers would take as long as the bytes.
      const waits = body.readableLength === 0
      const timer = waits ? setTimeout(() => body.destroy(silence), inactivityTimeoutMs) : undefined
      const question = waits ? watch.ask(`read of ${key}`, limit) : undefined
      let next: IteratorResult<Uint8Array>
      try {
        next = await chunks.next()
        question?.end('answer')
      } catch (error) {
        throw new BrokenBody(error)
      } finally {
        question?.end('nothing')
        clearTimeout(timer)
      }
      if (next.done) return
      yield next.value
    }
  } finally {
    signal?.removeEventListener('abort', onAbort)
    body.destroy()
  }
}

async function pause(breaks: number, signal: AbortSignal | undefined): Promise<void> {
  const longest = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** breaks)
  try {
    await delay(Math.random() * longest, undefined, { signal })
  } catch (error) {
    signal?.throwIfAborted()
    throw error
  }
}

function replaced(key: string): StoreError {
  return new StoreError('S3_NO_SUCH_OBJECT', `the object that was read at ${key} has been replaced by another`, {
    fix: fixFor('S3_NO_SUCH_OBJECT'),
  })
}

function noRanges(): StoreError {
  const message = 'the store answers a range with another one'
  return new StoreError('S3_UNSUPPORTED', message, { fix: fixFor('S3_UNSUPPORTED') })
}

function mismatch(message: string): StoreError {
  return new StoreError('LENGTH_MISMATCH', message, { fix: fixFor('LENGTH_MISMATCH') })
}
