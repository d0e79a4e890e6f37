import {
  AbortMultipartUploadCommand,
  CreateBucketCommand,
  DeleteBucketCommand,
  DeleteObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  ListObjectVersionsCommand,
  PutBucketPolicyCommand,
  PutBucketVersioningCommand,
  PutObjectLockConfigurationCommand,
  S3Client,
} from '@aws-sdk/client-s3'
import { requireVariable } from './environment.js'
import { freshHex } from './names.js'

/** `s3rver`: on disk, with few abilities; `radosgw`: Ceph's gateway, with every ability that the store uses. */
export type S3ServerKind = 's3rver' | 'radosgw'

export interface BucketAddress {
  readonly endpoint: string
  readonly region: string
  readonly bucket: string
  readonly accessKeyId: string
  readonly secretAccessKey: string
}

export interface FreshBucket extends BucketAddress, AsyncDisposable {}

/** A user of radosgw with only the rights in a bucket that its policy gives. */
export const GUEST_ARN = 'arn:aws:iam:::user/sealfleet-guest'

/**
 * The bucket as `GUEST_ARN` sees it under this policy (JSON); only for buckets of radosgw.
 */
export async function asGuest(bucket: BucketAddress, policy: string): Promise<BucketAddress> {
  const { endpoint, region, accessKeyId, secretAccessKey } = bucket
  const client = new S3Client({ endpoint, region, forcePathStyle: true, credentials: { accessKeyId, secretAccessKey } })
  try {
    await client.send(new PutBucketPolicyCommand({ Bucket: bucket.bucket, Policy: policy }))
  } finally {
    client.destroy()
  }
  const keys = { accessKeyId: `${accessKeyId}GUEST`, secretAccessKey: `${secretAccessKey}guest` }
  return { endpoint, region, bucket: bucket.bucket, ...keys }
}

/**
 * A new bucket, removed with everything in it (versions and unfinished uploads too) when disposed of.
 *
 * @param options.versioning turned on when true; radosgw only
 * @param options.retentionDays object lock, with which every object is kept so long (0: no default); implies versions;
 * radosgw only
 */
export async function freshBucket(
  kind: S3ServerKind,
  options: { versioning?: boolean; retentionDays?: number } = {},
): Promise<FreshBucket> {
  if (options.versioning && kind === 's3rver') throw new Error('s3rver knows no versions; ask for radosgw')
  const prefix = kind === 's3rver' ? 'SEALFLEET_TEST_S3RVER' : 'SEALFLEET_TEST_RGW'
  const endpoint = requireVariable(`${prefix}_ENDPOINT`)
  const region = process.env[`${prefix}_REGION`] ?? 'us-east-1'
  const accessKeyId = requireVariable(`${prefix}_ACCESS_KEY_ID`)
  const secretAccessKey = requireVariable(`${prefix}_SECRET_ACCESS_KEY`)
  const bucket = `sf-test-${freshHex()}`
  const client = new S3Client({
    endpoint,
    region,
    forcePathStyle: true,
    credentials: { accessKeyId, secretAccessKey },
  })
  const locked = options.retentionDays !== undefined
  await client.send(new CreateBucketCommand({ Bucket: bucket, ...(locked && { ObjectLockEnabledForBucket: true }) }))
  if (options.retentionDays) {
    // The mode that still lets this helper delete.
    const Rule = { DefaultRetention: { Mode: 'GOVERNANCE', Days: options.retentionDays } } as const
    const ObjectLockConfiguration = { ObjectLockEnabled: 'Enabled', Rule } as const
    await client.send(new PutObjectLockConfigurationCommand({ Bucket: bucket, ObjectLockConfiguration }))
  }
  if (options.versioning) {
    const VersioningConfiguration = { Status: 'Enabled' } as const
    await client.send(new PutBucketVersioningCommand({ Bucket: bucket, VersioningConfiguration }))
  }
  return {
    endpoint,
    region,
    bucket,
    accessKeyId,
    secretAccessKey,
    [Symbol.asyncDispose]: async () => {
      try {
        if (kind === 's3rver') await removeObjects(client, bucket)
        else await removeVersionsAndUploads(client, bucket)
        await client.send(new DeleteBucketCommand({ Bucket: bucket }))
      } finally {
        client.destroy()
      }
    },
  }
}

async function removeObjects(client: S3Client, Bucket: string): Promise<void> {
  for (;;) {
    const page = await client.send(new ListObjectsV2Command({ Bucket }))
    for (const { Key } of page.Contents ?? []) await client.send(new DeleteObjectCommand({ Bucket, Key }))
    if (!page.IsTruncated) return
  }
}

async function removeVersionsAndUploads(client: S3Client, Bucket: string): Promise<void> {
  const uploads = await client.send(new ListMultipartUploadsCommand({ Bucket }))
  for (const { Key, UploadId } of uploads.Uploads ?? []) {
    await client.send(new AbortMultipartUploadCommand({ Bucket, Key, UploadId }))
  }
  for (;;) {
    const page = await client.send(new ListObjectVersionsCommand({ Bucket }))
    const versions = [...(page.Versions ?? []), ...(page.DeleteMarkers ?? [])]
    for (const { Key, VersionId } of versions)
      await client.send(new DeleteObjectCommand({ Bucket, Key, VersionId, BypassGovernanceRetention: true }))
    if (!page.IsTruncated) return
  }
}
