/**
 * The last request of a put may have succeeded although its answer reports a failure or never came: the connection
 * broke after the store had acted, and the SDK's next try found the finished object (412) or no upload any more (404).
 * The object itself shows the outcome: it carries the id of the attempt that wrote it.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { fixFor, isStoreError } from './classify.js'
import { StoreError } from './errors.js'
import { head } from './head.js'
import type { S3Connection } from './s3-connection.js'
import { ATTEMPT } from './metadata.js'
import type { ObjectChecksum, ObjectHead, PutRequest } from './types.js'

/** The expected properties of our object; digests only if this store is known to return them in that form. */
export interface Expected {
  readonly etag: string | undefined
  readonly checksum: ObjectChecksum | undefined
}

/** Errors after which the object may still be there. */
export function mayHaveCommitted(error: unknown): boolean {
  return isStoreError(
    error,
    'S3_OBJECT_EXISTS',
    'S3_NO_SUCH_UPLOAD',
    'S3_NO_SUCH_OBJECT',
    'S3_TIMEOUT',
    'S3_UNAVAILABLE',
    'S3_THROTTLED',
  )
}

/**
 * The object at the key if it is this attempt's and whole. Undefined when there is none, or when it cannot be read now
 * (then the put's own error stands). Throws S3_OBJECT_EXISTS for another attempt's object, LENGTH_MISMATCH or
 * CHECKSUM_MISMATCH when it is this attempt's but damaged.
 */
export async function findCommittedPut(
  link: S3Connection,
  bucket: string,
  request: PutRequest,
  expected: () => Expected,
  error: unknown,
): Promise<ObjectHead | undefined> {
  const attempt = request.metadata[ATTEMPT]
  if (attempt === undefined) return undefined
  // After a lost answer the store may still be at work: completing thousands of parts takes a while. After a refusal it
  // is not.
  const looks = isStoreError(error, 'S3_TIMEOUT', 'S3_UNAVAILABLE') ? 3 : 1
  for (let look = 1; look <= looks; look++) {
    try {
      const found = await head(link, { bucket, key: request.key, signal: request.signal })
      assertCommittedPut(found, attempt, request.length, expected())
      return found
    } catch (headError) {
      if (isStoreError(headError, 'S3_NO_SUCH_OBJECT')) {
        if (look < looks) await delay(Math.random() * 250 * 2 ** look, undefined, { signal: request.signal })
      } else if (isStoreError(headError, 'S3_TIMEOUT', 'S3_UNAVAILABLE', 'S3_THROTTLED', 'S3_ACCESS_DENIED')) {
        return undefined
      } else {
        throw headError
      }
    }
  }
  return undefined
}

/** Throws unless the object is this attempt's and has the expected length and digests. */
export function assertCommittedPut(found: ObjectHead, attempt: string, length: number, expected: Expected): void {
  const { key } = found
  if (found.metadata[ATTEMPT] !== attempt) {
    throw new StoreError('S3_OBJECT_EXISTS', `at ${key} is an object of another attempt`, {
      fix: fixFor('S3_OBJECT_EXISTS'),
    })
  }
  if (found.length !== length) {
    const message = `the object at ${key} has ${found.length} bytes instead of ${length}`
    throw new StoreError('LENGTH_MISMATCH', message, { fix: fixFor('LENGTH_MISMATCH') })
  }
  const otherEtag = expected.etag !== undefined && found.etag !== expected.etag
  const { checksum } = expected
  const otherChecksum = checksum?.type === found.checksum?.type && checksum?.value !== found.checksum?.value
  if (otherEtag || otherChecksum) {
    const message = `the store’s ${otherEtag ? 'ETag' : 'checksum'} of ${key} is not that of what was sent`
    throw new StoreError('CHECKSUM_MISMATCH', message, { fix: fixFor('CHECKSUM_MISMATCH') })
  }
}
