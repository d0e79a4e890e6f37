import { listDestructions, markCopied, type DestructionRow } from '@sealfleet/records/keys'
import type { Records } from '@sealfleet/records'
import { StoreError, type Store } from '@sealfleet/store'

import { destructionCopy } from './record.js'

/**
 * Puts the record of a destruction into the store, where it outlives the database, and remembers that it is there. Doing it
 * again is harmless: what lies there must be the same bytes.
 * @throws StoreError (S3_OBJECT_EXISTS: something else lies under its name), RecordsError
 */
export async function copyDestruction(
  { records, store }: { readonly records: Records; readonly store: Store },
  { id, record, auditKeyVersion, mac, storeKey }: DestructionRow,
  signal?: AbortSignal,
): Promise<void> {
  if (record === null || auditKeyVersion === null || mac === null || storeKey === null) return
  const body = destructionCopy({ record, auditKeyVersion, mac })
  if (!(await readCopy(store, storeKey, signal))?.equals(body)) {
    const once = (async function* () {
      yield await Promise.resolve(Buffer.from(body))
    })()
    // The destruction's own id, so that an answer that was lost is known again.
    const metadata = { 'sealfleet-attempt': id }
    await store.put({ key: storeKey, body: once, length: body.length, metadata, ...(signal && { signal }) })
  }
  await markCopied(records, id)
}

/** The copy as it lies in the store; undefined when there is none. */
export async function readCopy(store: Store, key: string, signal?: AbortSignal): Promise<Buffer | undefined> {
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

/** Those that are carried out and not yet in the store. */
export function uncopied(records: Records): Promise<DestructionRow[]> {
  return listDestructions(records, { only: 'uncopied' })
}
