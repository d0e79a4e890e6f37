/**
 * What an ingest attempt needs from the world. The composition root fills these with packages/records, hsm and store;
 * tests fill them with the same, on real services.
 */
import type { KeyDeriver, NonceWrapper } from '@sealfleet/format'
import type { Store } from '@sealfleet/store'

import type { SourceRoots } from './source/open-source.js'
import type { ByteBudget } from './byte-budget.js'
import type { StepHook } from './steps.js'

/** A claim on a file: the right to make attempt number `attemptNo`. */
export interface Claim {
  readonly attemptNo: number
  readonly generation: number
  /** Claims of this generation that ended without an outcome. */
  readonly crashes: number
  readonly domain: string
  readonly suite: 1 | 2
  readonly nonceMode: 'inline' | 'detached'
  readonly segLog2: number
  /** What is wrong with the file's own row: nothing is sealed under a record that readers could not use. */
  readonly damage?: Error
}

export type ClaimResult =
  | { readonly outcome: 'claimed'; readonly claim: Claim }
  /** Another worker's lease; it ends in this many milliseconds unless it is renewed. */
  | { readonly outcome: 'leased'; readonly expiresInMs: number }
  | { readonly outcome: 'conflict' }
  | { readonly outcome: 'unknown-domain' }
  /** Nothing to do: already stored, dead, discarded, deleted, or a job of an older generation. */
  | { readonly outcome: 'over'; readonly state: string }

export interface KeyVersion {
  /** The row of the key. */
  readonly id: string
  readonly version: number
  readonly suite: 1 | 2
}

export interface ActiveKeys {
  readonly enc: KeyVersion
  readonly sig: KeyVersion
  readonly kek?: KeyVersion | undefined
}

export interface ClaimRequest {
  readonly fileId: string
  readonly generation: number
  readonly domain: string
  readonly root: string
  readonly path: string
  readonly context: Uint8Array
  /** SHA-256 of the canonical request: the same id with another one is a conflict. */
  readonly fingerprint: Buffer
  readonly owner: string
  readonly leaseSeconds: number
}

export interface OpenAttemptInput {
  readonly attemptId: string
  readonly fileId: string
  readonly owner: string
  readonly claim: Claim
  readonly keys: ActiveKeys
  readonly nonceEnc: Uint8Array
  readonly nonceSig: Uint8Array
  /** Given in detached mode: then the plain nonces are not recorded. */
  readonly wrappedNonces?: Uint8Array
  readonly sourceFingerprint: Record<string, string>
  readonly bucket: string
  readonly objectKey: string
}

export interface CommitInput {
  readonly attemptId: string
  readonly fileId: string
  readonly owner: string
  readonly objectVersion?: string | undefined
  readonly etag: string
  readonly objectLength: number
  readonly plaintextLength: number
  readonly htag: Uint8Array
  readonly fmac: Uint8Array
}

export interface FailInput {
  readonly fileId: string
  readonly owner: string
  readonly attemptNo: number
  readonly attemptId?: string | undefined
  readonly code: string
  readonly class: string
  readonly message: string
  readonly disposition: 'retry' | 'dead' | 'release'
  /** Milliseconds after which the file is tried again. */
  readonly retryInMs?: number | undefined
}

/** Failures of a file that count as attempts, in its present generation. */
export interface FailureHistory {
  readonly burned: number
  readonly sameCode: number
}

export interface IngestRecords {
  claim(request: ClaimRequest): Promise<ClaimResult>
  renew(fileId: string, owner: string, attemptNo: number, leaseSeconds: number): Promise<boolean>
  activeKeys(domain: string): Promise<ActiveKeys>
  openAttempt(input: OpenAttemptInput): Promise<void>
  commit(input: CommitInput): Promise<'committed' | 'already' | 'fenced'>
  fail(input: FailInput): Promise<'recorded' | 'fenced'>
  history(fileId: string, generation: number, code: string): Promise<FailureHistory>
  /** A line for each worker that died at the file in this generation, oldest first. */
  deaths(fileId: string, generation: number): Promise<readonly string[]>
}

/** The dependencies of sealing a file, for the first time or again. */
export interface SealingPorts {
  /** Derives for the new object. */
  readonly hsm: KeyDeriver & NonceWrapper
  /** Where the new object goes. */
  readonly store: Store
  readonly budget: ByteBudget
  readonly leaseSeconds: number
  readonly leaseRenewSeconds: number
  readonly newId: () => string
  readonly nowMs: () => number
  readonly step: StepHook
  /** Whether new objects name their files' sources in their metadata. */
  readonly namesSources?: boolean
  /** Called whenever bytes moved: read from the source or the store, or settled by the store. */
  readonly moved?: () => void
}

export interface IngestPorts extends SealingPorts {
  readonly records: IngestRecords
  /** Root name → absolute path. */
  readonly roots: SourceRoots
}
