import { randomUUID } from 'node:crypto'

import {
  createSealer,
  freshNonces,
  objectLength,
  wipe,
  wrapNonces,
  type KeyDeriver,
  type NoncePair,
  type NonceWrapper,
  type PlaintextSource,
} from '@sealfleet/format'
import { objectKey } from '@sealfleet/objects'
import type { CommitInput } from '@sealfleet/records/attempts'
import type { ActiveKeys } from '@sealfleet/records/keys'
import { objectMetadata, type Store } from '@sealfleet/store'

import { PartPool } from './part-pool.js'

/** Which keys a new object is sealed under, and for whom. Disposing wipes its nonces. */
export interface NewObject extends Disposable {
  readonly fileId: string
  readonly attemptId: string
  readonly domain: string
  readonly keys: ActiveKeys
  readonly nonces: NoncePair<Buffer>
  readonly nonceMode: 'inline' | 'detached'
}

/** An object with its place in the store. */
export type PlacedObject = NewObject & { readonly objectKey: string }

/**
 * A new attempt at storing a file: an id, fresh nonces, an object key; nothing of it is derived yet. Resolves when `record`
 * has recorded it; when that throws, the nonces are wiped.
 */
export async function newObject(
  of: Pick<NewObject, 'fileId' | 'domain' | 'keys' | 'nonceMode'>,
  record: (object: PlacedObject) => Promise<void>,
): Promise<PlacedObject> {
  const attemptId = randomUUID()
  const nonces = freshNonces()
  const wipeNonces = (): void => wipe(nonces.nonceEnc, nonces.nonceSig)
  const object = {
    ...of,
    attemptId,
    nonces,
    objectKey: objectKey({ ...of, attemptId }),
    [Symbol.dispose]: wipeNonces,
  }
  try {
    await record(object)
  } catch (error) {
    wipeNonces()
    throw error
  }
  return object
}

/** With detached nonces: both of them wrapped under the domain's KEK, as the record keeps them. Else undefined. */
export async function wrappedNoncesOf(
  hsm: NonceWrapper,
  object: NewObject,
  signal: AbortSignal,
): Promise<Uint8Array | undefined> {
  if (object.nonceMode === 'inline') return undefined
  return wrapNonces(hsm, kekOf(object.keys), identityOf(object), object.nonces, { signal })
}

/** How an object of this plaintext is uploaded, and the bytes of buffers it needs. Throws SOURCE_TOO_LARGE. */
export function planUpload(
  store: Pick<Store, 'partSizeFor' | 'queueSizeFor'>,
  plaintextLength: number,
  segLog2: number,
): { readonly length: number; readonly partSize: number; readonly bufferBytes: number } {
  const length = objectLength(plaintextLength, segLog2)
  const partSize = store.partSizeFor(length)
  // The sealer holds two: one that is becoming full, and the next, of which segments are sealed meanwhile. It works only
  // while the uploader waits for a part, that is while one part less than possible is under way.
  const buffers = Math.min(store.queueSizeFor(length) + 1, Math.ceil(length / partSize))
  // A segment that crosses the end of a part is sealed in a buffer of its own.
  const crossing = buffers > 1 ? 2 ** segLog2 : 0
  return { length, partSize, bufferBytes: buffers * Math.min(partSize, length) + crossing }
}

export interface SealDependencies {
  readonly hsm: KeyDeriver
  readonly store: Pick<Store, 'put'>
  readonly step: (step: 'derive' | 'upload' | 'complete', when: 'before' | 'after') => void | Promise<void>
  readonly moved?: (() => void) | undefined
  readonly namesSources?: boolean
}

export interface SealUpload {
  readonly object: PlacedObject
  readonly attemptNo: number
  readonly segLog2: number
  readonly context: Uint8Array
  /** For the object's metadata. */
  readonly source: { readonly root: string; readonly path: string }
  readonly plaintext: PlaintextSource
  readonly plaintextLength: number
  readonly plan: { readonly length: number; readonly partSize: number }
  readonly signal: AbortSignal
  readonly onProgress?: ((confirmed: number, total: number) => void) | undefined
}

/** The record's fields for an object, as a commit takes them. */
export type UploadedObject = Omit<CommitInput, 'attemptId' | 'fileId' | 'owner'>

/** Derives the attempt's keys, seals the plaintext as it comes and uploads it; resolves when the object is complete. */
export async function sealAndUpload(
  dependencies: SealDependencies,
  { object, plan, signal, ...o }: SealUpload,
): Promise<UploadedObject> {
  await dependencies.step('derive', 'before')
  using sealer = await createSealer(
    {
      ...identityOf(object),
      ...object.nonces,
      attemptNo: o.attemptNo,
      kekVersion: object.nonceMode === 'detached' ? kekOf(object.keys) : 0,
      segLog2: o.segLog2,
      context: o.context,
      createdMs: Date.now(),
    },
    dependencies.hsm,
    { signal },
  )
  await dependencies.step('derive', 'after')
  await dependencies.step('upload', 'before')
  const pool = new PartPool(Math.min(plan.partSize, plan.length))
  const parts = sealer.seal(o.plaintext, {
    chunkSize: plan.partSize,
    plaintextLength: o.plaintextLength,
    allocate: (size) => pool.allocate(size),
    signal,
  })
  const put = await dependencies.store.put({
    key: object.objectKey,
    body: parts,
    length: plan.length,
    metadata: objectMetadata({
      fileId: object.fileId,
      attemptId: object.attemptId,
      context: o.context,
      source: dependencies.namesSources === true ? o.source : undefined,
    }),
    signal,
    onPartSettled: (part) => {
      dependencies.moved?.()
      pool.release(part)
    },
    ...(o.onProgress !== undefined && { onProgress: ({ confirmed, total }) => o.onProgress?.(confirmed, total) }),
  })
  await dependencies.step('complete', 'after')
  const { objectLength: length, plaintextLength, htag, fmac } = sealer.result()
  return { objectVersion: put.version, etag: put.etag, objectLength: length, plaintextLength, htag, fmac }
}

function identityOf({ fileId, attemptId, domain, keys }: NewObject) {
  return {
    suite: keys.enc.suite,
    fileId,
    attemptId,
    encKeyVersion: keys.enc.version,
    sigKeyVersion: keys.sig.version,
    keyDomain: domain,
  }
}

function kekOf(keys: ActiveKeys): number {
  if (keys.kek === undefined) throw new Error('a domain with detached nonces has no KEK among its active keys')
  return keys.kek.version
}
