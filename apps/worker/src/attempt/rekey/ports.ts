/** The dependencies of re-encrypting a file; filled by the composition root, and by tests with the same. */
import type { KeyDeriver, NonceWrapper, OpenOptions } from '@sealfleet/format'
import type {
  CommitRekeyInput,
  EndRekeyInput,
  RekeyClaim,
  RekeyClaimOutcome,
  RekeyLease,
} from '@sealfleet/records/rekey'
import type { CommittedAttempt } from '@sealfleet/records'
import type { Store } from '@sealfleet/store'

import type { ActiveKeys, SealingPorts } from '../ports.js'

/** The file's current attempt. */
export interface KeptFile {
  readonly source: { readonly root: string; readonly path: string }
  readonly context: Uint8Array
  readonly committed: CommittedAttempt
}

/** An item's end; its owner is one activation of its job. */
export type RekeyEnd = EndRekeyInput

export interface OpenRekeyInput {
  readonly claim: RekeyClaim
  readonly owner: string
  readonly attemptId: string
  readonly keys: ActiveKeys
  readonly nonceEnc: Uint8Array
  readonly nonceSig: Uint8Array
  /** Given in detached mode: then the plain nonces are not recorded. */
  readonly wrappedNonces?: Uint8Array | undefined
  readonly bucket: string
  readonly objectKey: string
}

export interface RekeyRecords {
  claim(itemId: string, owner: string, leaseSeconds: number): Promise<RekeyClaimOutcome>
  renew(lease: RekeyLease, leaseSeconds: number): Promise<boolean>
  /** Undefined when the file is not STORED. */
  kept(fileId: string): Promise<KeptFile | undefined>
  activeKeys(domain: string): Promise<ActiveKeys>
  openAttempt(input: OpenRekeyInput): Promise<void>
  commit(input: CommitRekeyInput): Promise<'committed' | 'already' | 'fenced'>
  /** A line for each worker that died at the file, oldest first. */
  deaths(fileId: string): Promise<readonly string[]>
  fail(end: RekeyEnd): Promise<'recorded' | 'fenced'>
  readonly keyState: NonNullable<OpenOptions['keyState']>
}

export interface RekeyPorts extends SealingPorts {
  readonly records: RekeyRecords
  /** Derives for the old one, whose tags tell a wrong key. */
  readonly opener: KeyDeriver & NonceWrapper
  /** Where an old object lies: another bucket than today's, perhaps. */
  readonly storeOf: (bucket: string) => Promise<Pick<Store, 'head' | 'reader'>>
}
