/**
 * Whether the store accepts objects now: tested by writing one, since a store can answer reads and refuse every write.
 */
import {
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  PutObjectCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3'
import { randomUUID } from 'node:crypto'
import type { Capabilities } from './capabilities.js'
import { isStoreError } from './classify.js'
import { StoreError } from './errors.js'
import { knownVersion } from './head.js'
import type { S3Connection } from './s3-connection.js'
import { lockedError } from './locked-error.js'
import { abortOrphanedUpload } from './uploads.js'

export interface CheckOptions {
  readonly bucket: string
  readonly prefix: string
  readonly capabilities: Pick<Capabilities, 'delete' | 'abortUploads'>
  /** Written objects stay: only an upload that can be aborted is written. */
  readonly locked: boolean
  readonly onWarning: (warning: StoreError) => void
  readonly signal?: AbortSignal | undefined
}

const BODY = Buffer.from('sealfleet looks whether this store takes objects; this one may be deleted\n')

/**
 * Writes a small object below the probe prefix and deletes it again, by its version where there is one. Returns when
 * the store did both; otherwise throws the StoreError, or the signal's reason. With credentials that may not delete, it
 * always writes to the same key, so that at most one object stays (in a bucket with versions: its versions).
 * @returns `locked` when the store keeps written objects; from then on the caller passes `locked`
 */
export async function check(link: S3Connection, options: CheckOptions): Promise<'gone' | 'stays' | 'locked'> {
  const { bucket, prefix, capabilities, signal } = options
  if (options.locked) return await checkByPart(link, options)
  const key = `${prefix}${capabilities.delete ? randomUUID() : 'check'}`
  const put = new PutObjectCommand({ Bucket: bucket, Key: key, Body: BODY, ContentLength: BODY.length })
  const what = `checking that bucket ${bucket} takes objects`
  const answer = await link.request({ what, signal }, (client, o) => client.send(put, o))
  if (!capabilities.delete) return 'stays'
  const version = knownVersion(answer.VersionId)
  const command = new DeleteObjectCommand({ Bucket: bucket, Key: key, ...(version && { VersionId: version }) })
  try {
    await link.request({ what: `delete of ${key}`, signal }, (client, o) => client.send(command, o))
    return 'gone'
  } catch (error) {
    if (isStoreError(error, 'S3_NO_SUCH_OBJECT')) return 'gone'
    const locked = await lockedError(link, { bucket, key, version, signal }, error)
    if (locked !== undefined) {
      options.onWarning(locked)
      return 'locked'
    }
    // Workers need not delete: a lost right to delete is worth a warning, but does not stop intake.
    if (!isStoreError(error, 'S3_ACCESS_DENIED')) throw error
    const fix = `delete it, and allow s3:DeleteObject on ${prefix}* for these credentials`
    options.onWarning(new StoreError(error.code, `the probe object ${key} stays in the bucket`, { fix, cause: error }))
    return 'stays'
  }
}

/** Sends one part of an upload and aborts it: the store wrote bytes, but made no object that it would have to keep. */
async function checkByPart(link: S3Connection, options: CheckOptions): Promise<'locked'> {
  const { bucket, prefix, capabilities, signal, onWarning } = options
  const what = `checking that bucket ${bucket} takes objects`
  const target = { Bucket: bucket, Key: `${prefix}check` }
  const checksum = link.checksums === 'when-required' ? {} : ({ ChecksumAlgorithm: 'CRC32' } as const)
  const begun = new CreateMultipartUploadCommand({ ...target, ...checksum })
  const { UploadId } = await link.request({ what, signal }, (client, o) => client.send(begun, o))
  const part = new UploadPartCommand({ ...target, UploadId, PartNumber: 1, Body: BODY })
  try {
    await link.request({ what, signal, bytes: BODY.length }, (client, o) => client.send(part, o))
  } finally {
    const left = { bucket, key: target.Key, uploadId: UploadId }
    await abortOrphanedUpload(link, left, { listUploads: false, abortUploads: capabilities.abortUploads }, onWarning)
  }
  return 'locked'
}
