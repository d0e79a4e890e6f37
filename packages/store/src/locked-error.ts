/** Stores refuse the deletion of a locked version as they refuse missing rights: a HEAD tells the two apart. */
import { fixFor, isStoreError } from './classify.js'
import { StoreError } from './errors.js'
import { head, type HeadRequest } from './head.js'
import type { S3Connection } from './s3-connection.js'
import { lockText } from './lock.js'
import type { ObjectLock } from './types.js'

/** What keeps a version whose deletion was refused so; undefined: nothing that can be seen. Throws the signal's reason alone. */
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

/** OBJECT_LOCKED for a refusal that was one. Throws the signal's reason alone. */
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
