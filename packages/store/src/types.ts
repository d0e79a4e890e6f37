/**
 * The terms:
 *
 * - *Object*: one sealed file in a bucket, written once by one attempt, never changed.
 * - *Part*: a piece of a multipart upload; all of one size but the last. At most 10,000 of them.
 * - *Upload*: an unfinished multipart upload. It costs money and is invisible in listings of objects.
 * - *Version*: what the store calls an object's generation when the bucket keeps versions. `undefined` where it
 *   doesn't.
 * - *Pin*: the version, or else the ETag, by which all ranges of one reading come from the same object.
 * - *Settled*: a request with all its retries has ended, well or not, and nothing reads its body any more.
 *
 * Sizes and offsets are bytes, as `number` (exact far beyond any store's limits); times are milliseconds.
 */
import type { ConnectionOptions as TlsConnectionOptions } from 'node:tls'
import type { Capabilities } from './capabilities.js'
import type { StoreError } from './errors.js'

export type StoreTls = Pick<TlsConnectionOptions, 'ca' | 'cert' | 'key' | 'servername'>

/** The store's address and the time limits for it. */
export interface StoreOptions {
  /** e.g. `http://127.0.0.1:9000`; without it the address of AWS for the region. */
  readonly endpoint?: string
  readonly region: string
  readonly bucket: string
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken?: string
  /** For an https endpoint: the trusted certificates and our own, in Node's terms. */
  readonly tls?: StoreTls | undefined
  /** `https://host/bucket/key` instead of `https://bucket.host/key`. Default: true when there is an endpoint. */
  readonly forcePathStyle?: boolean
  /** Until the connection stands. Default 5,000. */
  readonly connectTimeoutMs?: number
  /** Until an answer's head arrives, beyond the time that the body needs at `minBytesPerSecond`. Default 30,000. */
  readonly requestTimeoutMs?: number
  /** Without a byte of a download's body, or without any part of an upload settling. Default 60,000. */
  readonly inactivityTimeoutMs?: number
  /** For aborting a failed upload, all its requests together. Default 30,000. */
  readonly abortTimeoutMs?: number
  /** The slowest supported link, bytes per second. Default 256 KiB/s. */
  readonly minBytesPerSecond?: number
  /** Tries of one request, the first included, with jittered exponential pauses between them. Default 4. */
  readonly maxAttempts?: number
  /**
   * Time limit for one answer, all tries together, beyond the time that the body needs; at least two tries fit into it.
   * For interactive use. Default: as many tries as `maxAttempts` says, each up to its own limit.
   */
  readonly giveUpAfterMs?: number
  /**
   * Called when a request is pending and the store has sent nothing at all for `silenceAfterMs`, again every 15 s while
   * that lasts, and with null when the store answers again.
   */
  readonly onSilence?: (silence: Unresponsive | null) => void
  /** Default 5,000. */
  readonly silenceAfterMs?: number
  /** Smallest part, bytes; grows for objects that would need more than 10,000. Default 8 MiB, never below 5 MiB. */
  readonly partSize?: number
  /** Parts in flight at once, at most. Default 4. */
  readonly queueSize?: number
  /** Bytes of one put in flight at once; lowers the number of parts in flight when parts are big. Default 64 MiB. */
  readonly maxBytesInFlight?: number
  /** The largest object that the store takes. Default 5 TiB. */
  readonly maxObjectLength?: number
  /** Over TLS only: don't hash bodies for the signature (SHA-256); CRC-32 and TLS still guard them. Default false. */
  readonly unsignedPayload?: boolean
  /**
   * `when-supported` (default) sends a CRC-32 with every body (`x-amz-checksum-crc32`), and announces it when an upload
   * begins; `when-required` leaves it out, for stores that refuse unknown headers.
   */
  readonly checksums?: 'when-supported' | 'when-required'
  /**
   * `read-write` (default) tests all abilities below `probePrefix`. `read-only` writes nothing and so learns less: only
   * that address, bucket and keys are right.
   */
  readonly access?: 'read-write' | 'read-only'
  /** Prefix of the keys for testing the store. Default `.sealfleet-probe/`. */
  readonly probePrefix?: string
  /** Called with problems that fail no operation but need attention, e.g. an upload that could not be aborted. */
  readonly onWarning?: (warning: StoreError) => void
  readonly signal?: AbortSignal
}

/** A store that does not answer. */
export interface Unresponsive {
  /** The oldest unanswered request, e.g. `read of default/…`. */
  readonly what: string
  /** Milliseconds since it was sent. */
  readonly silentMs: number
  /** Milliseconds until that request is given up, at most. */
  readonly givesUpInMs: number
}

/** One object to write. */
export interface PutRequest {
  readonly key: string
  /**
   * The object as buffers of exactly `store.partSizeFor(length)` bytes, the last one shorter, none empty. A buffer
   * belongs to the store from when it is yielded until `onPartSettled` names it.
   */
  readonly body: AsyncIterable<Uint8Array>
  /** Exact, known before the first byte. */
  readonly length: number
  /** From `objectMetadata`; `sealfleet-attempt` tells our own object from others. */
  readonly metadata: ObjectMetadata
  /** Replaces an object under the key, where the store would otherwise refuse. Sealed objects never do. */
  readonly replace?: boolean
  readonly signal?: AbortSignal
  /** Bytes that the store has confirmed, after each part. */
  readonly onProgress?: (progress: { readonly confirmed: number; readonly total: number }) => void
  /** The buffer's request has settled: it may be used again or wiped. Called exactly once for every buffer yielded. */
  readonly onPartSettled?: (buffer: Uint8Array) => void
}

/** User metadata as S3 keeps it: lower-case names without `x-amz-meta-`, ASCII values. */
export type ObjectMetadata = Readonly<Record<string, string>>

export interface PutResult {
  /** With its quotes, as If-Match wants it. */
  readonly etag: string
  readonly version?: string
  readonly length: number
  /** The store's checksum of the whole object, if it keeps one. */
  readonly checksum?: ObjectChecksum
  /** The answer of the last request was lost, and a HEAD found that the object is there and ours. */
  readonly recovered: boolean
}

export interface ObjectChecksum {
  readonly algorithm: 'CRC32'
  /** Base64; for a composite one followed by `-` and the number of parts. */
  readonly value: string
  readonly type: 'full-object' | 'composite'
}

/** Why a version cannot be deleted now. */
export interface ObjectLock {
  readonly until?: Date
  readonly legalHold: boolean
}

export interface ObjectHead {
  readonly key: string
  readonly length: number
  readonly etag: string
  readonly version?: string
  readonly metadata: ObjectMetadata
  readonly modified?: Date
  readonly checksum?: ObjectChecksum
  /** Undefined: nothing keeps it, or these credentials may not see the lock. */
  readonly lock?: ObjectLock
}

/** The pin of a reading. Give the version where there is one, else the ETag. */
export interface ReaderRequest {
  readonly key: string
  readonly length: number
  readonly version?: string
  readonly etag?: string
}

/** The reader interface of `@sealfleet/format`. */
export interface StoreReader {
  readonly length: number
  /** Exactly `length` bytes from `offset`, in chunks of any size, or throws a StoreError (or the signal's reason). */
  read(offset: number, length: number, options?: { readonly signal?: AbortSignal }): AsyncGenerator<Uint8Array>
}

export interface ListedObject {
  readonly key: string
  readonly length: number
  readonly etag: string
  readonly modified?: Date
}

export interface ListedVersion {
  readonly key: string
  readonly version?: string
  readonly latest: boolean
  /** A delete marker has no length and no ETag; all other entries have both. */
  readonly deleteMarker: boolean
  readonly length?: number
  /** With its quotes; pins a reading if there is no version. */
  readonly etag?: string
  readonly modified?: Date
}

export interface ListedUpload {
  readonly key: string
  readonly uploadId: string
  readonly initiated?: Date
}

interface Cancellable {
  readonly signal?: AbortSignal
}

/** An S3 bucket with known abilities. Made by `openStore`. */
export interface Store extends Disposable {
  readonly bucket: string
  readonly capabilities: Capabilities
  readonly maxObjectLength: number
  /** The size of all parts but the last, bytes. Throws SOURCE_TOO_LARGE for a length that the store cannot hold. */
  partSizeFor(length: number): number
  /** Parts of such an object in flight at once; the source may hold one more that it is filling. */
  queueSizeFor(length: number): number
  put(request: PutRequest): Promise<PutResult>
  /** Throws S3_NO_SUCH_OBJECT when it isn't there. */
  head(key: string, options?: Cancellable & { readonly version?: string }): Promise<ObjectHead>
  reader(request: ReaderRequest): StoreReader
  list(prefix: string, options?: Cancellable): AsyncGenerator<ListedObject>
  /** Every version and delete marker; without versions the objects themselves. */
  listVersions(prefix: string, options?: Cancellable): AsyncGenerator<ListedVersion>
  /** Unfinished uploads. Throws S3_UNSUPPORTED on stores that cannot list them. */
  listUploads(prefix: string, options?: Cancellable): AsyncGenerator<ListedUpload>
  /** Without a version on a bucket with versions: leaves a delete marker. An object that isn't there is no error. */
  delete(key: string, options?: Cancellable): Promise<void>
  /** Permanent deletion. A version that isn't there is no error; throws OBJECT_LOCKED for one that the store keeps. */
  deleteVersion(key: string, version: string | undefined, options?: Cancellable): Promise<void>
  /** An upload that isn't there is no error. */
  abortUpload(key: string, uploadId: string, options?: Cancellable): Promise<void>
  /**
   * Checks that the store accepts objects now: writes a small one below the probe prefix and deletes it. If written
   * objects stay (object lock), sends a part of an upload that it then aborts. Throws the obstacle.
   */
  check(options?: Cancellable): Promise<void>
  /** Closes idle connections. */
  close(): void
}
