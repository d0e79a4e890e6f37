import type { Store, StoreReader } from './types.js'

/** The location of an object, as its record names it. */
export interface RecordedPlace {
  readonly objectKey: string
  /** Null on stores without versions. */
  readonly objectVersion: string | null
}

/**
 * Reads the object of a record: pinned to the recorded version, or on a store without versions the object that lies
 * under the key now. Its length comes from the store and never from the record, so that the two can be compared. If the
 * object was replaced, the record and the header's tags show it with their own code, which is more than an ETag can
 * show: no reader uses the recorded ETag.
 *
 * @throws StoreError, S3_NO_SUCH_OBJECT when it isn't there
 */
export async function recordedReader(
  store: Pick<Store, 'head' | 'reader'>,
  { objectKey: key, objectVersion }: RecordedPlace,
  signal?: AbortSignal,
): Promise<StoreReader> {
  const head = await store.head(key, {
    ...(signal !== undefined && { signal }),
    ...(objectVersion !== null && { version: objectVersion }),
  })
  const pin = head.version === undefined ? { etag: head.etag } : { version: head.version }
  return store.reader({ key, length: head.length, ...pin })
}
