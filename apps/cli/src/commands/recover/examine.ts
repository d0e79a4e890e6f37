import {
  openObject,
  verifyObject,
  type KeyDeriver,
  type ObjectInfo,
  type ObjectReader,
  type OpenOptions,
} from '@sealfleet/format'
import { readObjectMetadata, type ObjectHead, type ObjectMetadata, type Store } from '@sealfleet/store'
import { describeError, type ErrorReport } from '../../describe-error.js'
import { EXIT } from '../../exit-status.js'
import type { Sealed } from './terms.js'

export interface JudgePorts {
  readonly store: Store
  readonly keys: KeyDeriver
  readonly keyState: NonNullable<OpenOptions['keyState']>
}

export interface JudgeOptions {
  /** Header, trailer and key commitment only. */
  readonly quick: boolean
  /** Contexts to try when the one in the object's metadata is wrong. */
  readonly contexts: readonly Uint8Array[]
  readonly signal: AbortSignal
  readonly onProgress: (object: Sealed, done: number) => void
}

/** What an object turned out to be. */
export type Examination =
  | {
      readonly kind: 'whole'
      readonly sealed: Sealed
      readonly head: ObjectHead
      readonly context: Uint8Array
      /** As it was read with the rest, and found authentic. */
      readonly info: ObjectInfo
      readonly fmac: Buffer
    }
  /** `authentic`: its header is what its sealer wrote. */
  | { readonly kind: 'damaged'; readonly sealed: Sealed; readonly authentic: boolean; readonly error: ErrorReport }
  /** It was deleted or replaced between listing and reading. */
  | { readonly kind: 'vanished'; readonly sealed: Sealed }

/** Failures that come after the header's tag was found right (FORMAT §7, steps 5 to 9). */
const AFTER_HEADER: ReadonlySet<string> = new Set([
  'E_CONTEXT',
  'E_TRAILER_AUTH',
  'E_LENGTH',
  'E_KEY_COMMIT',
  'E_SEGMENT_AUTH',
])

/**
 * Reads an object once from end to end (or, quickly, its head and tail): header, context, trailer and key commitment, then every
 * segment without decrypting any. Faults of the object are returned; throws for a dependency out of reach, or the
 * signal's reason.
 */
export async function examineObject(ports: JudgePorts, sealed: Sealed, o: JudgeOptions): Promise<Examination> {
  const { entry } = sealed
  try {
    const head = await ports.store.head(entry.key, { signal: o.signal, ...pinOf(sealed) })
    const reader = readerOf(ports.store, sealed, head)
    const { context, info, fmac } = await openWithSome(ports, reader, sealed, head, o)
    if (info.attemptId !== sealed.info.attemptId) return { kind: 'vanished', sealed }
    if (!o.quick) {
      const options = openOptions(ports, sealed, context, o.signal)
      await verifyObject(reader, { ...options, onProgress: (done) => o.onProgress(sealed, done) })
    }
    return { kind: 'whole', sealed, head, context, info, fmac }
  } catch (error) {
    return judgementOf(sealed, error, o.signal)
  }
}

/** Whether the header of a superseded attempt is authentic; reads only head and tail. @see examine */
export async function judgeHeader(ports: JudgePorts, sealed: Sealed, o: JudgeOptions): Promise<Examination> {
  try {
    const head = await ports.store.head(sealed.entry.key, { signal: o.signal, ...pinOf(sealed) })
    const reader = readerOf(ports.store, sealed, head)
    using opened = await openObject(reader, openOptions(ports, sealed, 'unchecked', o.signal))
    const { info, trailer } = opened
    if (info.attemptId !== sealed.info.attemptId) return { kind: 'vanished', sealed }
    return { kind: 'whole', sealed, head, context: Buffer.of(), info, fmac: Buffer.from(trailer.fmac) }
  } catch (error) {
    return judgementOf(sealed, error, o.signal)
  }
}

function judgementOf(sealed: Sealed, error: unknown, signal: AbortSignal): Examination {
  if (signal.aborted) throw signal.reason
  const report = describeError(error)
  if (report.code === 'S3_NO_SUCH_OBJECT') return { kind: 'vanished', sealed }
  if (report.exitStatus !== EXIT.integrity && report.exitStatus !== EXIT.key) throw error
  return { kind: 'damaged', sealed, authentic: AFTER_HEADER.has(report.code), error: report }
}

/** Tries the metadata's context, then the empty one and the given ones. The header's keyed tag decides. */
async function openWithSome(
  ports: JudgePorts,
  reader: ObjectReader,
  sealed: Sealed,
  head: ObjectHead,
  o: JudgeOptions,
): Promise<{ context: Uint8Array; info: ObjectInfo; fmac: Buffer }> {
  let refusal: unknown
  for (const context of distinct([readObjectMetadata(head.metadata).context, Buffer.of(), ...o.contexts])) {
    try {
      using opened = await openObject(reader, openOptions(ports, sealed, context, o.signal))
      return { context, info: opened.info, fmac: Buffer.from(opened.trailer.fmac) }
    } catch (error) {
      if (describeError(error).code !== 'E_CONTEXT') throw error
      refusal ??= error
    }
  }
  throw refusal
}

function distinct(contexts: readonly (Uint8Array | undefined)[]): readonly Uint8Array[] {
  const byText = new Map<string, Uint8Array>()
  for (const one of contexts) if (one !== undefined) byText.set(Buffer.from(one).toString('hex'), one)
  return [...byText.values()]
}

function openOptions(
  { keys, keyState }: JudgePorts,
  { info }: Sealed,
  context: OpenOptions['context'],
  signal: AbortSignal,
): OpenOptions {
  return { keys, keyState, context, expectedFileId: info.fileId, signal }
}

function pinOf({ entry }: Sealed): { version?: string } {
  return entry.version === undefined ? {} : { version: entry.version }
}

/** Pinned to the version of the HEAD, whose length the header was checked against. */
function readerOf(store: Store, { entry }: Sealed, head: ObjectHead): ObjectReader {
  const pin = head.version === undefined ? { etag: head.etag } : { version: head.version }
  return store.reader({ key: entry.key, length: head.length, ...pin })
}

/** The metadata of all attempts at one file, which have the same context and source. */
export async function metadataOf(
  { store }: Pick<JudgePorts, 'store'>,
  found: readonly Sealed[],
  { signal }: Pick<JudgeOptions, 'signal'>,
): Promise<readonly ObjectMetadata[]> {
  // A single attempt's own metadata is read with the object.
  if (found.length < 2) return []
  const all: ObjectMetadata[] = []
  for (const sealed of found) {
    try {
      all.push((await store.head(sealed.entry.key, { signal, ...pinOf(sealed) })).metadata)
    } catch (error) {
      if (describeError(error).code !== 'S3_NO_SUCH_OBJECT') throw error
    }
  }
  return all
}
