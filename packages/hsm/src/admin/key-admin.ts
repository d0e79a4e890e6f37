import { randomBytes } from 'node:crypto'

import type { KekRef, MasterKeyRef } from '../contract.js'
import { HsmError } from '../errors/hsm-error.js'
import { keyLabel, parseKeyLabel } from '@sealfleet/format'
import type { TokenOptions } from '../options.js'
import type { PinLockout } from '../pool/pin-lockout.js'
import type { RawEvidence, RawListing, TokenReport } from '../wire/admin-messages.js'
import { contradiction, keyExists } from '../pool/failures.js'
import { AdminConnection } from './admin-connection.js'

export interface KeyEvidence extends RawEvidence {
  readonly ref: MasterKeyRef
}

export interface KeyListing extends RawListing {
  readonly ref: MasterKeyRef
}

export interface GenerateOptions {
  /** Keep a key with wrong attributes or missing refusals; its evidence names the problems. Default false. */
  readonly acceptUnsound?: boolean
}

export interface KeyAdmin extends AsyncDisposable {
  /**
   * Makes a master key in the token, confirms in a fresh process that it is the only one of its label, and returns the
   * evidence: attributes read back, refused operations, check value and known answer (for a KEK: the check record). The
   * fresh process computes the known answer too (for a KEK: it opens the record); rejects with KEY_MISMATCH when the
   * two processes contradict each other. Rejects with KEY_EXISTS when the label is taken. An unsound key is destroyed
   * again and rejected with HSM_ACCESS_DENIED. Never repeated automatically: after a time-out look with {@link list}.
   */
  generate(ref: MasterKeyRef, options?: GenerateOptions): Promise<KeyEvidence>
  /** All keys with a label of ours. Two entries of one label are a problem to solve. */
  list(): Promise<KeyListing[]>
  /** First 8 bytes of HMAC(M, "SFV1-KCV-v1"). */
  checkValue(ref: MasterKeyRef): Promise<Buffer>
  /**
   * The known answer as the token computes it now: 32 bytes (docs/design/format.md §3). Rejects with KEY_MISMATCH for
   * nonsense.
   */
  knownAnswer(ref: MasterKeyRef): Promise<Buffer>
  /** A new check record (92 bytes) of a KEK. */
  makeKekRecord(kek: KekRef): Promise<Buffer>
  /** Rejects with KEY_MISMATCH when the KEK does not open the record. */
  checkKekRecord(kek: KekRef, record: Uint8Array): Promise<void>
  /**
   * Permanently destroys exactly one key, and confirms in a fresh process that it is gone (one token was seen to bring
   * objects back). `ckaId` (hex) picks one of two with the same label.
   */
  destroy(ref: MasterKeyRef, options?: { ckaId?: string }): Promise<{ confirmed: true }>
  tokenInfo(): Promise<TokenReport>
  close(): Promise<void>
}

const CKA_ID_LENGTH = 16

/**
 * Key administration in its own process with a read-write session, apart from the pool's agents. Rejects like
 * HsmPool.open. One login, guarded by the same lock-out.
 */
export async function openKeyAdmin(token: TokenOptions, options: { lockout?: PinLockout } = {}): Promise<KeyAdmin> {
  return new TokenAdmin(token, options.lockout, await AdminConnection.open(token, options.lockout))
}

class TokenAdmin implements KeyAdmin {
  readonly #token: TokenOptions
  readonly #lockout: PinLockout | undefined
  readonly #link: AdminConnection

  constructor(token: TokenOptions, lockout: PinLockout | undefined, link: AdminConnection) {
    this.#token = token
    this.#lockout = lockout
    this.#link = link
  }

  async generate(ref: MasterKeyRef, options: GenerateOptions = {}): Promise<KeyEvidence> {
    const label = keyLabel(ref)
    const ckaId = randomBytes(CKA_ID_LENGTH).toString('hex')
    const acceptUnsound = options.acceptUnsound ?? false
    const evidence = await this.#link.ask<RawEvidence>(label, { op: 'generate', label, ckaId, acceptUnsound })
    let sound = false
    try {
      await this.#lookAfresh(label, evidence)
      sound = true
    } finally {
      // The process that counts last sees both keys: so at most one key is left, and none without a count.
      if (!sound) await this.#link.ask(label, { op: 'destroy', label, ckaId })
    }
    return { ...evidence, ref }
  }

  /**
   * Runs in its own process. Throws KEY_EXISTS unless the key is alone, KEY_MISMATCH unless it matches the evidence.
   */
  async #lookAfresh(label: string, { kcv, answer, record }: RawEvidence): Promise<void> {
    const fresh = await AdminConnection.open(this.#token, this.#lockout)
    try {
      if ((await fresh.ask<{ count: number }>(label, { op: 'count', label })).count !== 1) throw keyExists(label)
      if (record !== null) {
        await fresh.ask(label, { op: 'check-record', label, record })
        return
      }
      const again = {
        ...(await fresh.ask<{ kcv: string }>(label, { op: 'check-value', label })),
        ...(await fresh.ask<{ answer: string }>(label, { op: 'known-answer', label })),
      }
      if (again.kcv !== kcv || again.answer !== answer) throw contradiction(label)
    } finally {
      await fresh.close()
    }
  }

  /** Runs in its own process: two that write to SoftHSM at once may permanently miss each other's keys (seen). */
  async #countAfresh(label: string, ckaId?: string): Promise<number> {
    const fresh = await AdminConnection.open(this.#token, this.#lockout)
    try {
      return (await fresh.ask<{ count: number }>(label, { op: 'count', label, ckaId })).count
    } finally {
      await fresh.close()
    }
  }

  async list(): Promise<KeyListing[]> {
    const listed = await this.#link.ask<RawListing[]>('', { op: 'list' })
    return listed.flatMap((key) => {
      const ref = parseKeyLabel(key.label)
      return ref === null ? [] : [{ ...key, ref }]
    })
  }

  async checkValue(ref: MasterKeyRef): Promise<Buffer> {
    if (ref.role === 'kek') throw new TypeError('a KEK has no check value: use checkKekRecord')
    const label = keyLabel(ref)
    const { kcv } = await this.#link.ask<{ kcv: string }>(label, { op: 'check-value', label })
    return Buffer.from(kcv, 'hex')
  }

  async knownAnswer(ref: MasterKeyRef): Promise<Buffer> {
    if (ref.role === 'kek') throw new TypeError('a KEK has no known answer: use checkKekRecord')
    const label = keyLabel(ref)
    const { answer } = await this.#link.ask<{ answer: string }>(label, { op: 'known-answer', label })
    return Buffer.from(answer, 'hex')
  }

  async makeKekRecord(kek: KekRef): Promise<Buffer> {
    const label = keyLabel({ role: 'kek', suite: 1, ...kek })
    const { record } = await this.#link.ask<{ record: string }>(label, { op: 'make-record', label })
    return Buffer.from(record, 'hex')
  }

  async checkKekRecord(kek: KekRef, record: Uint8Array): Promise<void> {
    const label = keyLabel({ role: 'kek', suite: 1, ...kek })
    const request = { op: 'check-record', label, record: Buffer.from(record).toString('hex') } as const
    await this.#link.ask(label, request)
  }

  async destroy(ref: MasterKeyRef, options: { ckaId?: string } = {}): Promise<{ confirmed: true }> {
    const label = keyLabel(ref)
    const request = { op: 'destroy', label, ckaId: options.ckaId } as const
    const { ckaId } = await this.#link.ask<{ ckaId?: string }>(label, request)
    if ((await this.#countAfresh(label, ckaId)) > 0) {
      throw new HsmError('HSM_UNAVAILABLE', `the token still shows ${label} after destroying it`, {
        fix: 'Destroy it again, and count it as destroyed only when a fresh process no longer finds it.',
      })
    }
    return { confirmed: true }
  }

  async tokenInfo(): Promise<TokenReport> {
    return this.#link.ask<TokenReport>('', { op: 'token' })
  }

  async close(): Promise<void> {
    await this.#link.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}
