/** The content of a bucket, in pages of up to 1,000, in the store's order. */
import { ListMultipartUploadsCommand, ListObjectsV2Command, ListObjectVersionsCommand } from '@aws-sdk/client-s3'
import { StoreError } from './errors.js'
import { knownVersion, quotedEtag } from './head.js'
import type { S3Connection } from './s3-connection.js'
import type { ListedObject, ListedUpload, ListedVersion } from './types.js'

export interface ListRequest {
  readonly bucket: string
  readonly prefix: string
  readonly signal?: AbortSignal | undefined
  /** Entries per request, at most 1,000, which is also the default. */
  readonly pageSize?: number | undefined
}

export async function* listObjects(
  link: S3Connection,
  { bucket, prefix, signal, pageSize }: ListRequest,
): AsyncGenerator<ListedObject> {
  let from: string | undefined
  do {
    const input = { Bucket: bucket, Prefix: prefix, MaxKeys: pageSize, ContinuationToken: from }
    const page = await link.request({ what: `list of objects below ${prefix}`, signal }, (client, options) =>
      client.send(new ListObjectsV2Command(input), options),
    )
    for (const { Key, Size, ETag, LastModified } of page.Contents ?? []) {
      if (Key === undefined) continue
      const etag = quotedEtag(ETag) ?? ''
      yield { key: Key, length: Size ?? 0, etag, ...(LastModified && { modified: LastModified }) }
    }
    from = page.IsTruncated ? onward(from, page.NextContinuationToken) : undefined
  } while (from !== undefined)
}

/** Within a page objects come first and delete markers after them, whatever their keys. */
export async function* listVersions(
  link: S3Connection,
  { bucket, prefix, signal, pageSize }: ListRequest,
): AsyncGenerator<ListedVersion> {
  let from: { KeyMarker: string; VersionIdMarker?: string } | undefined
  do {
    const input = { Bucket: bucket, Prefix: prefix, MaxKeys: pageSize, ...from }
    const page = await link.request({ what: `list of versions below ${prefix}`, signal }, (client, options) =>
      client.send(new ListObjectVersionsCommand(input), options),
    )
    for (const { Key, VersionId, IsLatest, Size, ETag, LastModified } of page.Versions ?? []) {
      if (Key === undefined) continue
      const one = entry(Key, VersionId, IsLatest, LastModified)
      const etag = quotedEtag(ETag)
      yield { ...one, deleteMarker: false, length: Size ?? 0, ...(etag !== undefined && { etag }) }
    }
    for (const { Key, VersionId, IsLatest, LastModified } of page.DeleteMarkers ?? []) {
      if (Key !== undefined) yield { ...entry(Key, VersionId, IsLatest, LastModified), deleteMarker: true }
    }
    const { NextKeyMarker, NextVersionIdMarker } = page
    if (page.IsTruncated) onward(mark(from?.KeyMarker, from?.VersionIdMarker), mark(NextKeyMarker, NextVersionIdMarker))
    from = page.IsTruncated
      ? { KeyMarker: NextKeyMarker ?? '', ...(NextVersionIdMarker && { VersionIdMarker: NextVersionIdMarker }) }
      : undefined
  } while (from !== undefined)
}

/** Unfinished multipart uploads. Throws S3_UNSUPPORTED on a store that answers with something else. */
export async function* listUploads(
  link: S3Connection,
  { bucket, prefix, signal, pageSize }: ListRequest,
): AsyncGenerator<ListedUpload> {
  let from: { KeyMarker: string; UploadIdMarker?: string } | undefined
  do {
    const input = { Bucket: bucket, Prefix: prefix, MaxUploads: pageSize, ...from }
    const page = await link.request({ what: `list of uploads below ${prefix}`, signal }, (client, options) =>
      client.send(new ListMultipartUploadsCommand(input), options),
    )
    for (const { Key, UploadId, Initiated } of page.Uploads ?? []) {
      if (Key === undefined || UploadId === undefined) continue
      yield { key: Key, uploadId: UploadId, ...(Initiated && { initiated: Initiated }) }
    }
    const { NextKeyMarker, NextUploadIdMarker } = page
    if (page.IsTruncated) onward(mark(from?.KeyMarker, from?.UploadIdMarker), mark(NextKeyMarker, NextUploadIdMarker))
    from = page.IsTruncated
      ? { KeyMarker: NextKeyMarker ?? '', ...(NextUploadIdMarker && { UploadIdMarker: NextUploadIdMarker }) }
      : undefined
  } while (from !== undefined)
}

function entry(key: string, version: string | undefined, latest: boolean | undefined, modified: Date | undefined) {
  const known = knownVersion(version)
  return { key, latest: latest ?? true, ...(known !== undefined && { version: known }), ...(modified && { modified }) }
}

function mark(key: string | undefined, id: string | undefined): string | undefined {
  return key === undefined ? undefined : JSON.stringify([key, id])
}

/** The start of the next page. A store that reports more entries at the same place would be asked forever. */
function onward(from: string | undefined, next: string | undefined): string {
  if (next !== undefined && next !== '' && next !== from) return next
  throw new StoreError('S3_UNSUPPORTED', 'the store cuts its list short and does not say where it continues', {
    fix: 'use a narrower prefix, or an S3 server whose lists have more than one page',
  })
}
