/**
 * Terms. The audit log is *chained* by sealing its rows into *batches*, each of which names the hash of the previous
 * one. A *checkpoint* names the last batch at some time, under a MAC of the audit key in the HSM; its *copy* lies in
 * the store. An *anchor* is a checkpoint that an auditor keeps out of reach of writers of database and store.
 */
import type { MasterKeyRef } from '@sealfleet/format'
import type { Records } from '@sealfleet/records'
import type { Store } from '@sealfleet/store'

/** The HSM's part in checkpoints: structurally the pool of packages/hsm. */
export interface AuditHsm {
  hmac(key: MasterKeyRef, message: Uint8Array, options?: { readonly signal?: AbortSignal }): Promise<Buffer>
  expectCheckValue(key: MasterKeyRef, checkValue: Uint8Array, knownAnswer?: Uint8Array | null): void
  /** For signatures that are kept: computed twice, and never nonsense (docs/design/hsm-pool.md). */
  confirmed(): { hmac(...call: Parameters<AuditHsm['hmac']>): Promise<Uint8Array> }
}

export interface AuditPorts {
  readonly records: Records
  readonly store: Store
  readonly hsm: AuditHsm
}

export type AuditErrorCode = 'AUDIT_BEHIND' | 'AUDIT_BROKEN' | 'AUDIT_MISMATCH' | 'NO_ACTIVE_KEY' | 'BAD_STATE'

export class AuditError extends Error {
  override readonly name = 'AuditError'
  readonly code: AuditErrorCode
  readonly fix: string | undefined

  constructor(code: AuditErrorCode, message: string, fix?: string) {
    super(message)
    this.code = code
    this.fix = fix
  }
}
