import { readFileSync } from 'node:fs'
import { asGuest, GUEST_ARN, type BucketAddress } from './fresh-bucket.js'

const RIGHTS = new URL('../../../docs/operate/rights.md', import.meta.url)

/** The users named in the policy of docs/operate/rights.md. */
export type PolicyUser = 'worker' | 'maintenance' | 'auditor'

export interface BucketPolicy {
  readonly Version: string
  readonly Statement: readonly {
    readonly Principal: { readonly AWS: readonly string[] }
    readonly Action: readonly string[]
    readonly Resource: string
  }[]
}

/** The bucket policy from docs/operate/rights.md, for a bucket called BUCKET. */
export function documentedPolicy(): BucketPolicy {
  const block = /```json\n(\{\s+"Version": "2012[\s\S]*?)```/.exec(readFileSync(RIGHTS, 'utf8'))?.[1]
  if (block === undefined) throw new Error('docs/operate/rights.md has no bucket policy')
  return JSON.parse(block) as BucketPolicy
}

/**
 * The bucket, on radosgw, as one of the policy's users sees it; replaces an earlier user's policy.
 * @param without an action that is left out of the policy
 */
export async function bucketAs(user: PolicyUser, bucket: BucketAddress, without?: string): Promise<BucketAddress> {
  const { Version, Statement } = documentedPolicy()
  const mine = Statement.filter(({ Principal }) => Principal.AWS.some((arn) => arn.endsWith(`:user/${user}`)))
  const statements = mine.map((one) => ({
    ...one,
    Principal: { AWS: [GUEST_ARN] },
    Action: one.Action.filter((action) => action !== without),
    Resource: one.Resource.replace('BUCKET', bucket.bucket),
  }))
  const policy = { Version, Statement: statements.filter(({ Action }) => Action.length > 0) }
  return asGuest(bucket, JSON.stringify(policy))
}
