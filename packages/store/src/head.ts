import { HeadObjectCommand } from '@aws-sdk/client-s3'
import { checksumIn } from './digests.js'
import { lockIn } from './lock.js'
import type { S3Connection } from './s3-connection.js'
import type { ObjectHead } from './types.js'

export interface HeadRequest {
  readonly bucket: string
  readonly key: string
  readonly version?: string | undefined
  readonly signal?: AbortSignal | undefined
}

/** Throws S3_NO_SUCH_OBJECT when the object isn't there (a HEAD cannot tell a missing bucket from a missing object). */
export async function head(link: S3Connection, { bucket, key, version, signal }: HeadRequest): Promise<ObjectHead> {
  const answer = await link.request({ what: `head of ${key}`, signal }, (client, options) =>
    client.send(
      new HeadObjectCommand({
        Bucket: bucket,
        Key: key,
        ...(link.checksums !== 'when-required' && { ChecksumMode: 'ENABLED' }),
        ...(version !== undefined && { VersionId: version }),
      }),
      options,
    ),
  )
  const checksum = checksumIn(answer)
  const known = knownVersion(answer.VersionId)
  const lock = lockIn(answer)
  return {
    key,
    length: answer.ContentLength ?? 0,
    etag: quotedEtag(answer.ETag) ?? '',
    metadata: answer.Metadata ?? {},
    ...(known !== undefined && { version: known }),
    ...(answer.LastModified && { modified: answer.LastModified }),
    ...(checksum && { checksum }),
    ...(lock && { lock }),
  }
}

/** `null` is the id of objects written while the bucket kept no versions: a reader cannot be pinned by it. */
export function knownVersion(version: string | undefined): string | undefined {
  return version === 'null' || version === '' ? undefined : version
}

/** With its quotes, as HTTP requires: radosgw leaves them out when the ETag stands in XML. */
export function quotedEtag(etag: string | undefined): string | undefined {
  return etag === undefined || etag === '' || etag.endsWith('"') ? etag : `"${etag}"`
}
