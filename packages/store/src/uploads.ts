/** Aborts an unfinished multipart upload, so that nothing of it stays in the store. */
import { AbortMultipartUploadCommand } from '@aws-sdk/client-s3'
import type { Capabilities } from './capabilities.js'
import { isStoreError, toStoreError } from './classify.js'
import { StoreError } from './errors.js'
import { timeout, type S3Connection } from './s3-connection.js'
import { listUploads } from './lists.js'

export interface UploadToTakeBack {
  readonly bucket: string
  readonly key: string
  /** undefined when the answer that held it was lost. */
  readonly uploadId: string | undefined
}

/** Resolves when the store has confirmed that the upload is gone, or that it never existed. */
export async function abortUpload(
  link: S3Connection,
  { bucket, key, uploadId }: UploadToTakeBack & { readonly uploadId: string },
  signal?: AbortSignal,
): Promise<void> {
  try {
    await link.request({ what: `abort of the upload of ${key}`, signal }, (client, options) =>
      client.send(new AbortMultipartUploadCommand({ Bucket: bucket, Key: key, UploadId: uploadId }), options),
    )
  } catch (error) {
    if (!isStoreError(error, 'S3_NO_SUCH_UPLOAD', 'S3_NO_SUCH_OBJECT')) throw error
  }
}

/**
 * Aborts the upload. If the store lists uploads, aborts every other one of exactly this key, too: a start whose answer
 * was lost, or one that a retry doubled. No other attempt ever uses the key. Looks again afterwards, because a store
 * may finish a part after the abort. Call it when all parts have settled. Never throws: a warning names a remaining
 * upload with the reason, and the sweep removes it. A store without aborts keeps the upload, as its capabilities say.
 */
export async function abortOrphanedUpload(
  link: S3Connection,
  upload: UploadToTakeBack,
  capabilities: Pick<Capabilities, 'listUploads' | 'abortUploads'>,
  onWarning: (warning: StoreError) => void,
): Promise<void> {
  if (!capabilities.abortUploads) return
  const { bucket, key, uploadId } = upload
  const patience = new AbortController()
  const late = timeout(`taking back the upload of ${key}: not done within ${link.abortTimeoutMs} ms`)
  const timer = setTimeout(() => patience.abort(late), link.abortTimeoutMs)
  try {
    if (uploadId !== undefined) await abortUpload(link, { bucket, key, uploadId }, patience.signal)
    if (!capabilities.listUploads) return
    for (let round = 0; round < 3; round++) {
      let left = 0
      for await (const other of listUploads(link, { bucket, prefix: key, signal: patience.signal })) {
        if (other.key !== key) continue
        left++
        await abortUpload(link, { bucket, key, uploadId: other.uploadId }, patience.signal)
      }
      if (left === 0) return
    }
    onWarning(
      new StoreError('S3_UNAVAILABLE', `an upload of ${key} is still listed after its abort`, {
        fix: 'nothing for now: the sweep of unfinished uploads removes it later',
      }),
    )
  } catch (error) {
    onWarning(toStoreError(error, `taking back the upload of ${key}`))
  } finally {
    clearTimeout(timer)
  }
}
