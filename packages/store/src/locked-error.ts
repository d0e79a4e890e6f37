/** Stores refuse the deletion of a locked version in the same way as for missing rights: a HEAD tells the two apart. */
import { fixFor, isStoreError } from './classify.js'
import { StoreError } from './errors.js'
import { head, type HeadRequest } from './head.js'
import type { S3Connection } from './s3-connection.js'
import { lockText } from './lock.js'
import type { ObjectLock } from './types.js'

/** The lock of a version whose deletion was refused; undefined: none is visible. Throws only the signal's reason. */
export async function lockOfRefused(
  link: S3Connection,
  request: HeadRequest,
  refusal: unknown,
): Promise<ObjectLock | undefined> {
  if (!isStoreError(refusal, 'S3_ACCESS_DENIED', 'S3_REJECTED')) return undefined
  try {
    return (await head(link, request)).lock
  } catch (error) {
    if (isStoreError(error)) return undefined
    throw error
  }
}

/** Returns OBJECT_LOCKED if a lock caused the refusal. Throws only the signal's reason. */
export async function lockedError(
  link: S3Connection,
  request: HeadRequest,
  refusal: unknown,
): Promise<StoreError | undefined> {
  const lock = await lockOfRefused(link, request, refusal)
  if (lock === undefined) return undefined
  return new StoreError('OBJECT_LOCKED', `${request.key} is ${lockText(lock)}`, {
    fix: fixFor('OBJECT_LOCKED'),
    cause: refusal instanceof Error ? refusal.cause : undefined,
  })
}
