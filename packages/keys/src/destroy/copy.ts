import { listDestructions, markCopied, type DestructionRow } from '@sealfleet/records/keys'
import type { Records } from '@sealfleet/records'
import { StoreError, type Store } from '@sealfleet/store'

import { destructionCopy } from './record.js'

/**
 * Writes the record of a destruction to the store, where it outlives the database, and records that it is there.
 * Repeating it is harmless: an object already there must have the same bytes.
 * @throws StoreError (S3_OBJECT_EXISTS: another object has its name), RecordsError
 */
export async function copyDestruction(
  { records, store }: { readonly records: Records; readonly store: Store },
  { id, record, auditKeyVersion, mac, storeKey }: DestructionRow,
  signal?: AbortSignal,
): Promise<void> {
  if (record === null || auditKeyVersion === null || mac === null || storeKey === null) return
  const body = destructionCopy({ record, auditKeyVersion, mac })
  if (!(await readDestructionCopy(store, storeKey, signal))?.equals(body)) {
    const once = (async function* () {
      yield await Promise.resolve(Buffer.from(body))
    })()
    // The destruction's own id, so that an object is recognised as ours after a lost answer.
    const metadata = { 'sealfleet-attempt': id }
    await store.put({ key: storeKey, body: once, length: body.length, metadata, ...(signal && { signal }) })
  }
  await markCopied(records, id)
}

/** The copy in the store; undefined when there is none. */
export async function readDestructionCopy(
  store: Store,
  key: string,
  signal?: AbortSignal,
): Promise<Buffer | undefined> {
  const request = signal === undefined ? {} : { signal }
  try {
    const { length, version, etag } = await store.head(key, request)
    const pin = version === undefined ? { etag } : { version }
    const chunks: Uint8Array[] = []
    for await (const chunk of store.reader({ key, length, ...pin }).read(0, length, request))
      chunks.push(Buffer.from(chunk))
    return Buffer.concat(chunks)
  } catch (error) {
    if (error instanceof StoreError && error.code === 'S3_NO_SUCH_OBJECT') return undefined
    throw error
  }
}

/** Destructions that are carried out and not yet in the store. */
export function uncopied(records: Records): Promise<DestructionRow[]> {
  return listDestructions(records, { only: 'uncopied' })
}
