import type { MasterKeyRef, Suite } from '@sealfleet/format'
import type {
  AttemptState,
  AuditEntry,
  DeadLetter,
  DeadLetterState,
  Deletion,
  Failure,
  FileState,
  Hold,
  KeyState,
  MasterKey,
  WorkerState,
} from '../generated/client.js'

/**
 * Terms. A *file* is what a producer asked to be kept; it is *accepted* once it has a row. An *attempt* is one try at
 * storing it. A *claim* gives a worker the *lease* on a file: the right to make attempt number `attemptNo` until a time
 * by the database's clock. A *fenced* worker has lost its lease and may no longer commit. A *domain* is a retention
 * class with its own master keys; its id is `default` or a UUID. A *generation* counts replays of a file by on-call.
 *
 * Ids are lower-case UUIDs with dashes; lengths are bytes; times are by the database's clock.
 */

/** Values of these unions are the database's own, in capitals. */
export type { AttemptState, DeadLetterState, FileState, KeyState, WorkerState }

export const FILE_STATES: readonly FileState[] = ['QUEUED', 'RUNNING', 'STORED', 'DEAD', 'DISCARDED', 'DELETED']

export interface FileSource {
  /** A name from SEALFLEET_ROOTS. */
  readonly root: string
  /** Relative to the root. */
  readonly path: string
}

export interface DomainPolicy {
  readonly id: string
  readonly name: string
  readonly suite: Suite
  readonly nonceMode: 'inline' | 'detached'
  readonly segLog2: number
  /** The age in days at which a rotation of the active enc and sig keys is due; null: never. */
  readonly rotationDays: number | null
  /** Days that a file is kept after it was stored; null: until it is removed by a command. */
  readonly retentionDays: number | null
}

export interface FileRow {
  readonly id: string
  readonly domain: string
  readonly state: FileState
  readonly source: FileSource
  readonly context: Buffer
  readonly fingerprint: Buffer
  readonly generation: number
  readonly batchId: string | null
  /** 0 before the first claim. */
  readonly lastAttemptNo: number
  readonly crashes: number
  readonly lease: { readonly owner: string; readonly expiresAt: Date } | null
  readonly committedAttemptId: string | null
  readonly lastFailure: { readonly code: string; readonly at: Date } | null
  /** Of a QUEUED file that failed: the earliest time of the next try. */
  readonly nextTryAt: Date | null
  readonly acceptedAt: Date
  readonly updatedAt: Date
  readonly storedAt: Date | null
  /**
   * Of a DELETED file: why, when and by whom it was deleted, and when the store was seen to hold its object no more.
   */
  readonly deletion: {
    readonly kind: Deletion
    readonly at: Date
    readonly by: string
    readonly sweptAt: Date | null
  } | null
}

/** An attempt as lists and traces show it: no nonces. */
export interface AttemptRow {
  readonly id: string
  readonly fileId: string
  readonly attemptNo: number
  readonly generation: number
  readonly state: AttemptState
  readonly owner: string
  readonly suite: Suite
  readonly segLog2: number
  readonly domain: string
  /** 0, here and below: a key that is not registered, in a damaged database. */
  readonly encKeyVersion: number
  readonly sigKeyVersion: number
  /** The KEK that wraps the nonces at present; null with inline nonces. */
  readonly kekVersion: number | null
  readonly bucket: string
  readonly objectKey: string
  readonly objectVersion: string | null
  readonly etag: string | null
  readonly objectLength: number | null
  readonly plaintextLength: number | null
  readonly failureCode: string | null
  readonly openedAt: Date
  readonly endedAt: Date | null
}

/** The committed attempt with the fields that a reader needs to open and check its object. */
export interface CommittedAttempt extends AttemptRow {
  readonly etag: string | null
  readonly objectLength: number
  readonly plaintextLength: number
  readonly htag: Buffer
  readonly fmac: Buffer
  readonly objectSha256: Buffer | null
  /** Inline mode only. */
  readonly nonces: { readonly nonceEnc: Buffer; readonly nonceSig: Buffer } | null
  /** Detached mode only; 92 bytes. */
  readonly wrappedNonces: { readonly wrapped: Buffer; readonly kekVersion: number } | null
}

export interface KeyRow
  extends
    MasterKeyRef,
    Readonly<
      Omit<MasterKey, keyof MasterKeyRef | 'domainId' | 'checkValue' | 'checkRecord' | 'knownAnswer' | 'evidence'>
    > {
  /** 8 bytes; null for a KEK. */
  readonly checkValue: Buffer | null
  /** For a KEK: a wrapped record that it must be able to open. */
  readonly checkRecord: Buffer | null
  /** 32 bytes. A KEK has none; versions registered earlier get one later. */
  readonly knownAnswer: Buffer | null
  readonly evidence: unknown
}

/** Protects files from deletion, and the keys that open them from destruction, until it is released. */
export interface HoldRow extends Readonly<Omit<Hold, 'domainId'>> {
  readonly domain: string
}

export interface FailureRow extends Readonly<Omit<Failure, 'id' | 'fileId' | 'disposition'>> {
  readonly disposition: Disposition
}

/** retry: back to the queue, counts as an attempt. dead: a dead letter. release: back to the queue, does not count. */
export type Disposition = 'retry' | 'dead' | 'release'

/** `jobId` is set when a request was refused and no file is dead. */
export interface DeadLetterRow extends Readonly<Omit<DeadLetter, 'domainId' | 'requestFingerprint'>> {
  readonly domain: string | null
}

export interface AuditRow extends Readonly<Omit<AuditEntry, 'id' | 'xact' | 'detail'>> {
  readonly id: string
  readonly detail: unknown
}
