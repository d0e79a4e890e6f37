import type { KekRef, MasterKeyRef } from '../contract.js'
import { HsmError } from '../errors/hsm-error.js'
import { isAllowedHmacInput, isNoncesAad, NONCES_LENGTH, WRAPPED_LENGTH } from '../inputs.js'
import { keyLabel } from '@sealfleet/format'
import { packAead, packKeyed } from '../wire/messages.js'
import type { Submission } from './request-factory.js'

/** Checked requests of callers: a request that fails a check never reaches the token. All functions throw TypeError. */

export type CallOptions = { readonly signal?: AbortSignal } | undefined

export function hmacOf(key: MasterKeyRef, message: Uint8Array, options: CallOptions): Submission {
  const label = keyLabel(key)
  if (!isAllowedHmacInput(key, message)) throw new TypeError(`not an input that ${label} may see`)
  return { name: 'hmac', role: key.role, label, parts: packKeyed(label, message), signal: options?.signal }
}

export function wrapOf(kek: KekRef, plaintext: Uint8Array, aad: Uint8Array, options: CallOptions): Submission {
  if (plaintext.length !== NONCES_LENGTH) throw new TypeError(`a pair of nonces has ${NONCES_LENGTH} bytes`)
  return aeadOf('wrap', kek, plaintext, aad, options)
}

/** Also throws E_NONCE_UNWRAP: a record of another length was changed. */
export function unwrapOf(kek: KekRef, wrapped: Uint8Array, aad: Uint8Array, options: CallOptions): Submission {
  if (wrapped.length !== WRAPPED_LENGTH) {
    throw new HsmError('E_NONCE_UNWRAP', `wrapped nonces have ${WRAPPED_LENGTH} bytes, not ${wrapped.length}`, {
      fix: 'The record was changed: compare it with a backup of the database.',
    })
  }
  return aeadOf('unwrap', kek, wrapped, aad, options)
}

function aeadOf(
  name: 'wrap' | 'unwrap',
  kek: KekRef,
  input: Uint8Array,
  aad: Uint8Array,
  options: CallOptions,
): Submission {
  if (!isNoncesAad(aad)) throw new TypeError('not the associated data of a pair of nonces')
  const label = keyLabel({ role: 'kek', suite: 1, ...kek })
  return { name, role: 'kek', label, parts: packAead(label, aad, input), signal: options?.signal }
}
