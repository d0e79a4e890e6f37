import type { Store, StoreReader } from './types.js'

/** Where a record says that its object lies. */
export interface RecordedPlace {
  readonly objectKey: string
  /** Null on stores without versions. */
  readonly objectVersion: string | null
}

/**
 * Reads the object of a record: pinned to the recorded version, on a store without versions to whatever lies under the key
 * now. Its length is the store's own word and never the record's, so that the two can be compared. Was the object replaced
 * since, the record and the header's tags say so with a code of their own, which is more than an ETag can: the recorded one
 * is used by no reader.
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
