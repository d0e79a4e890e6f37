/**
 * Software master keys, for tests and vectors alone: nothing outside this folder may hold a master key in memory.
 */
import { createCipheriv, createDecipheriv, createHmac, randomBytes } from 'node:crypto'
import { FormatError } from '../src/errors.js'
import type { KeyDeriver, MasterKeyRef, NonceWrapper } from '../src/terms.js'
import { isWellFormedDerivation } from '../src/derivation.js'

export interface SoftwareMasters {
  readonly enc: Buffer
  readonly sig: Buffer
  readonly kek?: Buffer
  /** What the HSM is made to return for the encryption derivation, whatever the message. */
  readonly mockEncOutput?: Buffer | undefined
  /** The only key versions and the domain that exist; by default all do. */
  readonly exists?: ((key: MasterKeyRef) => boolean) | undefined
  /** The iv of wrapping; random by default. */
  readonly iv?: Buffer | undefined
}

export interface HmacCall {
  readonly key: MasterKeyRef
  /** A copy. */
  readonly message: Buffer
  /** The very buffer that was handed out, to see whether it was wiped. */
  readonly output: Uint8Array
}

/** Does in software what the HSM does, refuses what its interface refuses, and remembers what it was asked. */
export class SoftwareHsm implements KeyDeriver, NonceWrapper {
  readonly calls: HmacCall[] = []
  readonly #masters: SoftwareMasters

  constructor(masters: SoftwareMasters) {
    this.#masters = masters
  }

  hmac(key: MasterKeyRef, message: Uint8Array): Promise<Uint8Array> {
    const { enc, sig, mockEncOutput, exists } = this.#masters
    if (!isWellFormedDerivation(key, message)) return Promise.reject(new TypeError('refused: not a derivation'))
    if (exists && !exists(key)) return Promise.reject(new FormatError('E_KEY_UNKNOWN', 'no such key'))
    const master = key.role === 'enc' ? enc : sig
    const output = Buffer.alloc(32)
    if (key.role === 'enc' && mockEncOutput) output.set(mockEncOutput)
    else {
      const digest = createHmac('sha256', master).update(message).digest()
      output.set(digest)
      digest.fill(0)
    }
    this.calls.push({ key, message: Buffer.from(message), output })
    return Promise.resolve(output)
  }

  wrap(_kek: { domain: string; version: number }, plaintext: Uint8Array, aad: Uint8Array): Promise<Uint8Array> {
    const iv = this.#masters.iv ?? randomBytes(12)
    const cipher = createCipheriv('aes-256-gcm', this.#kek(), iv).setAAD(aad)
    return Promise.resolve(Buffer.concat([iv, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]))
  }

  unwrap(_kek: { domain: string; version: number }, wrapped: Uint8Array, aad: Uint8Array): Promise<Uint8Array> {
    const decipher = createDecipheriv('aes-256-gcm', this.#kek(), wrapped.subarray(0, 12))
    decipher.setAAD(aad).setAuthTag(wrapped.subarray(76))
    const plaintext = Buffer.alloc(64)
    plaintext.set(decipher.update(wrapped.subarray(12, 76)))
    try {
      decipher.final()
    } catch (cause) {
      return Promise.reject(new FormatError('E_NONCE_UNWRAP', 'the tag does not verify', { cause }))
    }
    return Promise.resolve(plaintext)
  }

  #kek(): Buffer {
    if (!this.#masters.kek) throw new Error('this HSM has no KEK')
    return this.#masters.kek
  }
}
