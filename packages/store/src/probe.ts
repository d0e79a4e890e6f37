/**
 * Tests a store's abilities, with a probe object under its own key that is deleted afterwards. Two stores that call
 * themselves S3 differ in nearly everything here; on the same store a bucket's settings or a policy can differ. If
 * objects cannot be deleted (object lock), one trial is remembered, so that not every process repeats it
 * (remembered.ts).
 */
import {
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  PutObjectCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3'
import { randomUUID } from 'node:crypto'
import { UNPROBED, type Capabilities } from './capabilities.js'
import { fixFor, isStoreError } from './classify.js'
import { checksumOfBytes, etagOfBytes, etagOfParts } from './digests.js'
import { StoreError } from './errors.js'
import { head, knownVersion } from './head.js'
import type { S3Connection } from './s3-connection.js'
import { lockOfRefused } from './locked-error.js'
import { lockText } from './lock.js'
import { listUploads, listVersions } from './lists.js'
import { ATTEMPT } from './metadata.js'
import { recall, remember } from './remembered.js'
import { abortUpload, abortOrphanedUpload } from './uploads.js'

export interface ProbeOptions {
  readonly bucket: string
  readonly prefix: string
  readonly signal?: AbortSignal | undefined
  readonly onWarning: (warning: StoreError) => void
}

/** State shared by the steps. */
class Probe {
  readonly key: string
  readonly attempt = randomUUID()
  readonly body = Buffer.from('sealfleet looks at what this store can do; this object may be deleted\n')
  readonly versions: (string | undefined)[] = []
  readonly link: S3Connection
  readonly options: ProbeOptions

  constructor(link: S3Connection, options: ProbeOptions) {
    this.link = link
    this.options = options
    this.key = `${options.prefix}${this.attempt}`
  }

  get target() {
    return { Bucket: this.options.bucket, Key: this.key }
  }

  request(step: string) {
    return { what: `trying out the store (${step}) in bucket ${this.options.bucket}`, signal: this.options.signal }
  }
}

/**
 * Throws for obstacles to any use: S3_NO_BUCKET, S3_ACCESS_DENIED, S3_UNAVAILABLE, S3_TIMEOUT, or S3_UNSUPPORTED for a
 * store that loses metadata or has no multipart uploads.
 */
export async function probe(link: S3Connection, options: ProbeOptions): Promise<Capabilities> {
  const known = await recall(link, options)
  if (known !== undefined) return known
  const trial = new Probe(link, options)
  try {
    const conditional = await putTwice(trial)
    const object = await lookAtObject(trial)
    const uploads = await tryMultipart(trial, conditional)
    const listed = await versionsAreListed(trial)
    const ifMatch = await ifMatchIsHonoured(trial)
    const seen: Omit<Capabilities, 'delete'> = {
      probed: true,
      ifNoneMatch: { put: conditional, complete: uploads.ifNoneMatch },
      ifMatch,
      versioning: trial.versions.some((version) => version !== undefined),
      listUploads: uploads.listed,
      abortUploads: uploads.aborted,
      listVersions: listed,
      checksumInHead: object.checksum,
      etagIsMd5: { put: object.etagIsMd5, multipart: uploads.etagIsMd5 },
    }
    const left = await cleanUp(trial)
    const capabilities = { ...seen, delete: left === 'nothing' }
    if (typeof left === 'string') return capabilities
    await remember(link, options, capabilities)
    return { ...capabilities, lockedUntil: left.until }
  } catch (error) {
    await cleanUp(trial)
    throw error
  }
}

/** Read-only: asks for an object that isn't there. The answer's code tells a missing bucket and wrong keys apart. */
export async function probeReadOnly(link: S3Connection, options: ProbeOptions): Promise<Capabilities> {
  const trial = new Probe(link, options)
  const command = new GetObjectCommand({ ...trial.target, Range: 'bytes=0-0' })
  try {
    const answer = await link.request(trial.request('reading'), (client, o) => client.send(command, o))
    await answer.Body?.transformToByteArray()
  } catch (error) {
    // Without the right to list, AWS answers 403 AccessDenied for a missing object.
    const mayBeAbsence = isStoreError(error, 'S3_ACCESS_DENIED') && causeCode(error) === 'AccessDenied'
    if (!isStoreError(error, 'S3_NO_SUCH_OBJECT') && !mayBeAbsence) throw error
  }
  return UNPROBED
}

async function put(trial: Probe, condition: object, step: string): Promise<void> {
  const command = new PutObjectCommand({
    ...trial.target,
    ...condition,
    Body: trial.body,
    ContentLength: trial.body.length,
    Metadata: { [ATTEMPT]: trial.attempt },
  })
  const answer = await trial.link.request(trial.request(step), (client, o) => client.send(command, o))
  trial.versions.push(knownVersion(answer.VersionId))
}

/** Whether the second put with If-None-Match is refused. */
async function putTwice(trial: Probe): Promise<boolean> {
  try {
    await put(trial, { IfNoneMatch: '*' }, 'writing')
  } catch (error) {
    // A retry after a lost answer of a successful try finds its own object.
    if (isStoreError(error, 'S3_OBJECT_EXISTS')) return true
    if (!isStoreError(error, 'S3_UNSUPPORTED', 'S3_REJECTED')) throw error
    await put(trial, {}, 'writing')
    return false
  }
  return await refused(put(trial, { IfNoneMatch: '*' }, 'writing on condition'))
}

async function lookAtObject(trial: Probe): Promise<{ checksum: boolean; etagIsMd5: boolean }> {
  const { link, key, options, body } = trial
  const found = await head(link, { bucket: options.bucket, key, signal: options.signal })
  if (found.metadata[ATTEMPT] !== trial.attempt || found.length !== body.length) {
    throw unsupported('does not give back an object’s metadata and length')
  }
  return {
    checksum: found.checksum?.value === checksumOfBytes(body).value,
    etagIsMd5: found.etag === etagOfBytes(body),
  }
}

async function ifMatchIsHonoured(trial: Probe): Promise<boolean> {
  const other = `"${'0'.repeat(32)}"`
  const command = new GetObjectCommand({ ...trial.target, Range: 'bytes=1-2', IfMatch: other })
  return await refused(
    trial.link.request(trial.request('reading on condition'), async (client, o) => {
      const answer = await client.send(command, o)
      await answer.Body?.transformToByteArray()
    }),
  )
}

async function tryMultipart(trial: Probe, conditional: boolean) {
  const { link, key, options, body, target } = trial
  const metadata = { [ATTEMPT]: trial.attempt }
  const checksum = link.checksums === 'when-required' ? {} : ({ ChecksumAlgorithm: 'CRC32' } as const)
  let uploadId: string | undefined
  let listed = false
  try {
    const started = await link.request(trial.request('multipart upload'), (client, o) =>
      client.send(new CreateMultipartUploadCommand({ ...target, Metadata: metadata, ...checksum }), o),
    )
    uploadId = started.UploadId
    if (uploadId === undefined) throw unsupported('has no multipart uploads')
    const upload = { ...target, UploadId: uploadId }
    listed = await uploadIsListed(trial, uploadId)
    const part = await link.request({ ...trial.request('part'), bytes: body.length }, (client, o) =>
      client.send(new UploadPartCommand({ ...upload, PartNumber: 1, Body: body }), o),
    )
    const done = { PartNumber: 1, ETag: part.ETag, ...(part.ChecksumCRC32 && { ChecksumCRC32: part.ChecksumCRC32 }) }
    const complete = async (condition: object) => {
      const command = new CompleteMultipartUploadCommand({
        ...upload,
        ...condition,
        MultipartUpload: { Parts: [done] },
      })
      const answer = await link.request(trial.request('completion'), (client, o) => client.send(command, o))
      trial.versions.push(knownVersion(answer.VersionId))
    }
    // The key exists by now, so if the condition holds, the upload stays unfinished and can still be completed.
    const ifNoneMatch = conditional && (await refused(complete({ IfNoneMatch: '*' })))
    if (ifNoneMatch || !conditional) await complete({})
    // A finished upload cannot be aborted any more, but the answer shows whether the store knows the request.
    const finished = uploadId
    uploadId = undefined
    const aborted = await abortIsKnown(trial, finished)
    const found = await head(link, { bucket: options.bucket, key, signal: options.signal })
    if (found.metadata[ATTEMPT] !== trial.attempt) throw unsupported('loses the metadata of multipart objects')
    const etag = etagOfParts([{ etag: part.ETag, crc32: undefined }])
    return { ifNoneMatch, listed, aborted, etagIsMd5: etag !== undefined && found.etag === etag }
  } finally {
    const left = { bucket: options.bucket, key, uploadId }
    const known = { listUploads: listed, abortUploads: true }
    if (uploadId !== undefined) await abortOrphanedUpload(link, left, known, options.onWarning)
  }
}

/** False when the store has no such request. If only a policy forbids it, a warning says so. */
async function abortIsKnown({ link, key, options }: Probe, uploadId: string): Promise<boolean> {
  try {
    await abortUpload(link, { bucket: options.bucket, key, uploadId }, options.signal)
  } catch (error) {
    if (isStoreError(error, 'S3_UNSUPPORTED')) return false
    if (!isStoreError(error, 'S3_ACCESS_DENIED')) throw error
    const fix = 'allow s3:AbortMultipartUpload for these credentials, or failed uploads stay and cost money'
    options.onWarning(new StoreError(error.code, 'uploads may not be aborted', { fix, cause: error.cause }))
  }
  return true
}

async function uploadIsListed(trial: Probe, uploadId: string): Promise<boolean> {
  const { link, key, options } = trial
  return await answers(trial, 's3:ListBucketMultipartUploads', async () => {
    const list = listUploads(link, { bucket: options.bucket, prefix: key, signal: options.signal })
    for await (const upload of list) if (upload.uploadId === uploadId && upload.key === key) return true
    return false
  })
}

async function versionsAreListed(trial: Probe): Promise<boolean> {
  const { link, key, options } = trial
  return await answers(trial, 's3:ListBucketVersions', async () => {
    for await (const one of listVersions(link, { bucket: options.bucket, prefix: key, signal: options.signal })) {
      if (one.key === key) return true
    }
    return false
  })
}

/** Whether a condition was honoured: true for 412, false for success; other errors are thrown. */
async function refused(request: Promise<void>): Promise<boolean> {
  try {
    await request
    return false
  } catch (error) {
    if (isStoreError(error, 'S3_OBJECT_EXISTS')) return true
    throw error
  }
}

/** A request that the store may not know, or a policy may forbid: both count as no. A policy also causes a warning. */
async function answers({ options }: Probe, right: string, question: () => Promise<boolean>): Promise<boolean> {
  try {
    return await question()
  } catch (error) {
    if (isStoreError(error, 'S3_ACCESS_DENIED')) {
      const fix = `allow ${right} on the bucket for these credentials`
      options.onWarning(new StoreError(error.code, `${right} is refused`, { fix, cause: error.cause }))
    }
    if (isStoreError(error, 'S3_UNSUPPORTED', 'S3_REJECTED', 'S3_ACCESS_DENIED', 'S3_NO_SUCH_OBJECT')) return false
    throw error
  }
}

/**
 * Deletes every version that was written. If that is refused, the versions stay: until a date, in a bucket with object
 * lock, or until the sweep; a warning says so.
 */
async function cleanUp(trial: Probe): Promise<'nothing' | 'objects' | { readonly until: Date }> {
  const { link, options, key, target, versions } = trial
  let refused: string | undefined
  try {
    for (const version of versions) {
      refused = version
      const command = new DeleteObjectCommand({ ...target, ...(version !== undefined && { VersionId: version }) })
      const signal = AbortSignal.timeout(link.abortTimeoutMs)
      await link.request({ what: `delete of ${key}`, signal }, (client, o) => client.send(command, o))
    }
    return 'nothing'
  } catch (error) {
    // A store that does not answer is not waited for again: the sweep removes the rest.
    const late = error instanceof DOMException && error.name === 'TimeoutError'
    if (!late && !(error instanceof StoreError)) throw error
    const head = { bucket: options.bucket, key, version: refused, signal: options.signal }
    const lock = await lockOfRefused(link, head, error)
    if (lock !== undefined) {
      const message = `what is written to bucket ${options.bucket} is ${lockText(lock)}: the objects of this trial below ${options.prefix} stay, and the next trial is after that`
      options.onWarning(new StoreError('OBJECT_LOCKED', message, { fix: fixFor('OBJECT_LOCKED') }))
      if (lock.until !== undefined) return { until: lock.until }
      return 'objects'
    }
    const code = error instanceof StoreError ? error.code : 'S3_TIMEOUT'
    const fix = `delete it, and allow s3:DeleteObject on ${options.prefix}* for these credentials`
    options.onWarning(new StoreError(code, `the probe object ${key} stays in the bucket`, { fix, cause: error }))
    return 'objects'
  }
}

function unsupported(what: string): StoreError {
  return new StoreError('S3_UNSUPPORTED', `this store ${what}`, { fix: fixFor('S3_UNSUPPORTED') })
}

function causeCode(error: StoreError): string | undefined {
  const { cause } = error
  return cause instanceof Error && 'code' in cause && typeof cause.code === 'string' ? cause.code : undefined
}
