import { FormatError, inspectObject, type FormatErrorCode, type ObjectInfo } from '@sealfleet/format'
import { StoreError, type ListedVersion, type Store, type StoreReader } from '@sealfleet/store'

import { setMaxListeners } from 'node:events'

import { AUDIT_PREFIX, isProbe } from './prefixes.js'
import { FLEET_MARK } from './fleet-mark.js'

/** An object in the store, and the content of its header (not authenticated) or why it has none. */
export type StoredHeader =
  | { readonly entry: ListedVersion; readonly info: ObjectInfo }
  | { readonly entry: ListedVersion; readonly code: FormatErrorCode }

export interface StoredHeadersOptions {
  /** Prefix of the keys. Default: all. */
  readonly prefix?: string | undefined
  /** Headers asked for at once. Default 8. */
  readonly atOnce?: number | undefined
  readonly signal?: AbortSignal | undefined
}

/**
 * The content of the store, independent of any database: every version of every key, each with its header, which one
 * range request of 320 bytes reads, pinned to that version (or ETag). In the order of the listing. Delete markers,
 * probes and Sealfleet's own audit copies are left out, and so are objects that vanished between listing and reading.
 * An object that is not sealed comes with its code: E_FORMAT, E_UNSUPPORTED, E_LENGTH.
 *
 * May be ended early: requests in flight are aborted and awaited. @throws StoreError, the signal's reason
 *
 * @example
 * for await (const found of storedHeaders(store, { signal })) if ('info' in found) count(found.info.encKeyVersion)
 */
export async function* storedHeaders(
  store: Store,
  { prefix = '', atOnce = 8, signal }: StoredHeadersOptions = {},
): AsyncGenerator<StoredHeader> {
  const ended = new AbortController()
  const together = signal === undefined ? ended.signal : AbortSignal.any([signal, ended.signal])
  // Each request adds a listener; this many are intended.
  setMaxListeners(0, together)
  const underWay: Promise<Outcome>[] = []
  try {
    for await (const entry of store.listVersions(prefix, { signal: together })) {
      signal?.throwIfAborted()
      if (entry.deleteMarker || isOurPaper(entry.key)) continue
      underWay.push(outcomeOf(readHeader(store, entry, together)))
      if (underWay.length >= atOnce) yield* foundBy(underWay.shift())
    }
    while (underWay.length > 0) yield* foundBy(underWay.shift())
  } finally {
    ended.abort(new Error('the headers are not wanted any more'))
    await Promise.all(underWay)
  }
}

type Outcome = { readonly found: StoredHeader | undefined } | { readonly error: unknown }

/** A promise that never rejects: an error waits until its place in the order has come. */
async function outcomeOf(reading: Promise<StoredHeader | undefined>): Promise<Outcome> {
  try {
    return { found: await reading }
  } catch (error) {
    return { error }
  }
}

async function* foundBy(outcome: Promise<Outcome> | undefined): AsyncGenerator<StoredHeader> {
  const settled = await outcome
  if (settled === undefined) return
  if ('error' in settled) throw settled.error
  if (settled.found !== undefined) yield settled.found
}

async function readHeader(store: Store, entry: ListedVersion, signal: AbortSignal): Promise<StoredHeader | undefined> {
  try {
    return { entry, info: await inspectObject(readerOf(store, entry), { signal }) }
  } catch (error) {
    if (error instanceof FormatError) return { entry, code: error.code }
    if (error instanceof StoreError && error.code === 'S3_NO_SUCH_OBJECT') return undefined
    throw error
  }
}

/**
 * An entry without a version is the object itself, or, where versions came later and another one lies over it, the one
 * that S3 calls `null`.
 */
function readerOf(store: Store, { key, length = 0, version, etag, latest }: ListedVersion): StoreReader {
  const pin = version ?? (latest ? undefined : 'null')
  return store.reader({ key, length, ...(pin === undefined ? { etag: etag ?? '' } : { version: pin }) })
}

function isOurPaper(key: string): boolean {
  return key === FLEET_MARK || key.startsWith(AUDIT_PREFIX) || isProbe(key)
}
