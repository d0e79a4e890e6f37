import type { Classified, AttemptHistory, Decision } from '@sealfleet/failures'
import type { KeyDeriver, NonceWrapper, PlaintextReader } from '@sealfleet/format'
import type { CheckValues } from '@sealfleet/objects'
import type { CommitInput, CommitOutcome, OpenAttemptInput } from '@sealfleet/records/attempts'
import type { DomainPolicy, Records } from '@sealfleet/records'
import type { Store } from '@sealfleet/store'

import type { ByteBudget } from './byte-budget.js'
import type { AttemptStep, StepHook } from './steps.js'

/** The dependencies of every attempt: of a file's first object, and of one that replaces another. */
export interface AttemptDependencies {
  readonly records: Records
  /** Receives the check values of the keys before their first use: a wrong key under the right label seals no file. */
  readonly checkValues: CheckValues
  /** Derives for the new object. */
  readonly hsm: KeyDeriver & NonceWrapper
  /** Where the new object goes. */
  readonly store: Store
  readonly budget: ByteBudget
  readonly leaseSeconds: number
  readonly leaseRenewSeconds: number
  readonly step: StepHook
  /** Whether new objects name their files' sources in their metadata. */
  readonly namesSources?: boolean
  /** Called whenever bytes moved: read from the source or the store, or settled by the store. */
  readonly moved?: () => void
}

/** The right to make attempt number `attemptNo` at a file, for the time of a lease. */
export interface Claim {
  readonly fileId: string
  readonly attemptNo: number
  readonly domain: DomainPolicy
  /** Of a re-encryption. */
  readonly runId?: string
}

/** Why a job got no claim. */
export type Unclaimed =
  /** Nothing is left to do: the file is stored, dead, discarded or deleted; the item has ended. */
  | { readonly kind: 'skipped'; readonly state: string }
  /** Another worker has the file. */
  | { readonly kind: 'leased'; readonly retryInMs: number }
  /** The id belongs to another request; that file is unchanged. */
  | { readonly kind: 'conflict' }
  /** No such key domain: the request cannot become a file. */
  | { readonly kind: 'unknown-domain' }
  /** The run of re-encryption is paused or over, or there is no such item. */
  | { readonly kind: 'halted' }

/** The plaintext of an attempt. Disposing closes it, or wipes the keys that open it. */
export interface Plaintext extends AsyncDisposable {
  /** Bytes. */
  readonly length: number
  /** Bytes in memory beside those of the upload. */
  readonly bufferBytes: number
  readonly context: Uint8Array
  /** For the object's metadata. */
  readonly source: { readonly root: string; readonly path: string }
  /** The bytes, once: read where the sealer wants them, or in chunks, each used before the next is requested. */
  read(signal: AbortSignal): PlaintextReader | AsyncIterable<Uint8Array>
  /** Called after the last byte and before the object's trailer is written. Throws when the bytes may not be kept. */
  check?(): Promise<void>
}

/** A failure to be recorded for a claim. */
export interface Failing {
  /** Undefined when no attempt was recorded. */
  readonly attemptId: string | undefined
  readonly code: string
  readonly class: string
  /** Free of secrets. */
  readonly message: string
  /** release: the failure does not count as an attempt. */
  readonly disposition: 'retry' | 'dead' | 'release'
  readonly decision: Decision | undefined
}

/** One activation of a job: how a new file (`ingest.ts`) and a re-encryption (`rekey.ts`) differ. */
export interface AttemptKind<C extends Claim, P extends Plaintext> {
  /** One per activation: two deliveries of one job inside one process must not share a lease. */
  readonly owner: string
  /** Whether a fence that the attempt finds itself is recorded, too. Otherwise its lease runs out. */
  readonly recordsFence: boolean
  readonly step: (step: AttemptStep, when: 'before' | 'after') => void | Promise<void>
  claim(): Promise<{ readonly kind: 'claimed'; readonly claim: C } | Unclaimed>
  /** Why no work may begin under this claim; undefined if it may. */
  obstacle(claim: C): Promise<Error | undefined>
  /** False when another worker has the file now. */
  renew(claim: C): Promise<boolean>
  open(claim: C, signal: AbortSignal): Promise<P>
  /** Records the attempt with its nonces, before anything is derived from them. */
  record(claim: C, plaintext: P, attempt: OpenAttemptInput): Promise<void>
  /** Idempotent. */
  commit(claim: C, object: CommitInput): Promise<CommitOutcome>
  /** The failures that count, including one with this code that is about to be recorded. */
  history(claim: C, code: string): Promise<AttemptHistory>
  /** Idempotent. */
  fail(claim: C, failing: Failing): Promise<'recorded' | 'fenced'>
}

/** The object of an attempt that was committed. */
export interface StoredObject {
  readonly attemptId: string
  readonly objectKey: string
  readonly version: string | undefined
  readonly plaintextLength: number
  readonly objectLength: number
  readonly encKeyVersion: number
  readonly sigKeyVersion: number
}

/** How one activation of a job ended. Everything that had to be recorded is recorded. */
export type AttemptOutcome =
  | Unclaimed
  | { readonly kind: 'stored'; readonly claim: Claim; readonly object: StoredObject }
  /** This worker lost the file while it worked on it. */
  | { readonly kind: 'fenced'; readonly claim: Claim }
  | {
      readonly kind: 'failed'
      /** Undefined when the claim was not answered. */
      readonly claim?: Claim
      readonly failed: Classified
      readonly error: unknown
      readonly decision: Decision
    }
