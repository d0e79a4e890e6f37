/** An open bucket with known abilities; the other modules are wired together here. */
import { DeleteObjectCommand } from '@aws-sdk/client-s3'
import { check } from './check.js'
import type { StoreError } from './errors.js'
import { head } from './head.js'
import {
  DEFAULT_IN_FLIGHT,
  DEFAULT_MAX_OBJECT,
  DEFAULT_PART,
  DEFAULT_QUEUE,
  MAX_PART,
  maxObjectLength,
  MIN_PART,
  partSizeFor,
  queueSizeFor,
  type Limits,
} from './limits.js'
import { isStoreError } from './classify.js'
import { lockedError } from './locked-error.js'
import { S3Connection } from './s3-connection.js'
import { listObjects, listUploads, listVersions } from './lists.js'
import { probe, probeReadOnly } from './probe.js'
import { put } from './put.js'
import { reader } from './read.js'
import type { Store, StoreOptions } from './types.js'
import { abortUpload } from './uploads.js'

/**
 * Opens a bucket and tests its abilities (about a dozen small requests; one when read-only). Throws a RangeError for
 * impossible options, else a StoreError that names the obstacle.
 *
 * @example
 * using store = await openStore({ endpoint, region, bucket, accessKeyId, secretAccessKey })
 * const { etag, version } = await store.put({ key, body, length, metadata })
 */
export async function openStore(options: StoreOptions): Promise<Store> {
  const limits = limitsOf(options)
  const onWarning =
    options.onWarning ?? ((warning: StoreError) => process.emitWarning(warning.message, { code: warning.code }))
  const link = new S3Connection(options)
  const { bucket, probePrefix: prefix = '.sealfleet-probe/', signal } = options
  try {
    const look = options.access === 'read-only' ? probeReadOnly : probe
    const capabilities = await look(link, { bucket, prefix, signal, onWarning })
    return storeOf({ link, bucket, limits, capabilities, onWarning }, prefix)
  } catch (error) {
    link[Symbol.dispose]()
    throw error
  }
}

function storeOf(context: Parameters<typeof put>[0], prefix: string): Store {
  const { link, bucket, limits, capabilities, onWarning } = context
  let locked = capabilities.lockedUntil !== undefined
  return {
    bucket,
    capabilities,
    maxObjectLength: maxObjectLength(limits),
    partSizeFor: (length) => partSizeFor(length, limits),
    queueSizeFor: (length) => queueSizeFor(length, limits),
    put: (request) => put(context, request),
    head: (key, options) => head(link, { bucket, key, ...options }),
    reader: (request) => reader(link, bucket, request),
    list: (prefix, options) => listObjects(link, { bucket, prefix, ...options }),
    listVersions: (prefix, options) => {
      const request = { bucket, prefix, ...options }
      const objects = () => objectsAsVersions(listObjects(link, request))
      if (!capabilities.listVersions) return objects()
      // Opened read-only: the ability has not been tested yet.
      if (!capabilities.probed) return unlessUnsupported(listVersions(link, request), objects)
      return capabilities.versioning ? listVersions(link, request) : objects()
    },
    listUploads: (prefix, options) => listUploads(link, { bucket, prefix, ...options }),
    delete: (key, options) => remove(link, bucket, key, undefined, options?.signal),
    deleteVersion: (key, version, options) => remove(link, bucket, key, version, options?.signal),
    abortUpload: (key, uploadId, options) => abortUpload(link, { bucket, key, uploadId }, options?.signal),
    check: async (options) => {
      const left = await check(link, { bucket, prefix, capabilities, locked, onWarning, ...options })
      locked ||= left === 'locked'
    },
    close: () => link[Symbol.dispose](),
    [Symbol.dispose]: () => link[Symbol.dispose](),
  }
}

/** The entries of a listing; those of another listing if the store does not know the first. */
async function* unlessUnsupported<T>(wanted: AsyncGenerator<T>, instead: () => AsyncGenerator<T>): AsyncGenerator<T> {
  try {
    yield* wanted
    return
  } catch (error) {
    // Only a listing's first answer shows that the store does not know it.
    if (!isStoreError(error, 'S3_UNSUPPORTED')) throw error
  }
  yield* instead()
}

async function* objectsAsVersions(objects: ReturnType<typeof listObjects>): ReturnType<typeof listVersions> {
  for await (const { key, length, etag, modified } of objects) {
    yield { key, length, latest: true, deleteMarker: false, ...(etag && { etag }), ...(modified && { modified }) }
  }
}

async function remove(
  link: S3Connection,
  bucket: string,
  key: string,
  version: string | undefined,
  signal?: AbortSignal,
): Promise<void> {
  const command = new DeleteObjectCommand({
    Bucket: bucket,
    Key: key,
    ...(version !== undefined && { VersionId: version }),
  })
  try {
    await link.request({ what: `delete of ${key}`, signal }, (client, o) => client.send(command, o))
  } catch (error) {
    if (isStoreError(error, 'S3_NO_SUCH_OBJECT')) return
    throw (await lockedError(link, { bucket, key, version, signal }, error)) ?? error
  }
}

function limitsOf(options: StoreOptions): Limits {
  const limits: Limits = {
    partSize: options.partSize ?? DEFAULT_PART,
    queueSize: options.queueSize ?? DEFAULT_QUEUE,
    maxBytesInFlight: options.maxBytesInFlight ?? DEFAULT_IN_FLIGHT,
    maxObjectLength: options.maxObjectLength ?? DEFAULT_MAX_OBJECT,
  }
  for (const [name, value] of Object.entries(limits)) {
    if (!Number.isSafeInteger(value) || value < 1) throw new RangeError(`${name} must be a whole number from 1 on`)
  }
  if (limits.partSize < MIN_PART || limits.partSize > MAX_PART) {
    throw new RangeError(`partSize must be from ${MIN_PART} to ${MAX_PART} bytes: S3 takes no other`)
  }
  return limits
}
