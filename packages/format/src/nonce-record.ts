/**
 * Detached nonces as the record keeps them (docs/design/format.md §5), 92 bytes:
 *
 *     iv(12) ‖ AES-256-GCM(KEK, iv, nonce_enc ‖ nonce_sig)(64) ‖ tag(16)
 *
 * bound by 74 bytes of AAD to the attempt, but not to the version of the KEK: so they can be re-wrapped.
 */
import { FormatError } from './errors.js'
import { u32 } from './integers.js'
import { label } from './mac.js'
import { NONCE_LENGTH, areUsableNonces } from './nonce.js'
import { dedicatedCopy, secret, secretCopy, wipe } from './secret.js'
import { type AttemptIdentity, type Cancellable, type NoncePair, type NonceWrapper, withSignal } from './terms.js'
import { keyDomainToBytes, uuidToBytes } from './uuid.js'

export const WRAPPED_NONCES_LENGTH = 12 + 2 * NONCE_LENGTH + 16
export const NONCE_AAD_LENGTH = 74
const NONCES = label('SFV1/nonces')

/** label `SFV1/nonces`(16) ‖ suite(2) ‖ file_id ‖ attempt_id ‖ enc_key_ver(4) ‖ sig_key_ver(4) ‖ key_domain. */
export function nonceAad(attempt: AttemptIdentity): Buffer {
  return Buffer.concat([
    NONCES,
    Buffer.from([0, attempt.suite]),
    uuidToBytes(attempt.fileId, 'fileId'),
    uuidToBytes(attempt.attemptId, 'attemptId'),
    u32(attempt.encKeyVersion, 'encKeyVersion'),
    u32(attempt.sigKeyVersion, 'sigKeyVersion'),
    keyDomainToBytes(attempt.keyDomain),
  ])
}

/** Wraps the nonces of an attempt under a KEK version of its domain: 92 bytes for the record. */
export async function wrapNonces(
  wrapper: NonceWrapper,
  kekVersion: number,
  attempt: AttemptIdentity,
  nonces: NoncePair,
  options: Cancellable = {},
): Promise<Buffer> {
  if (!areUsableNonces(nonces.nonceEnc, nonces.nonceSig)) {
    throw new TypeError('nonces must differ and be neither zero nor the reserved one')
  }
  const plaintext = secret(2 * NONCE_LENGTH)
  plaintext.set(nonces.nonceEnc)
  plaintext.set(nonces.nonceSig, NONCE_LENGTH)
  try {
    const kek = { domain: attempt.keyDomain, version: kekVersion }
    const wrapped = await wrapper.wrap(kek, plaintext, nonceAad(attempt), withSignal(options.signal))
    if (wrapped.length !== WRAPPED_NONCES_LENGTH) {
      throw new TypeError(`the wrapper gave ${wrapped.length} bytes, not ${WRAPPED_NONCES_LENGTH}`)
    }
    return dedicatedCopy(wrapped)
  } finally {
    wipe(plaintext)
  }
}

/**
 * The inverse: two nonces, which the caller wipes. Throws E_NONCE_UNWRAP when the record has
 * another length or holds nonces that no sealer uses; the wrapper's own errors pass unchanged.
 */
export async function unwrapNonces(
  wrapper: NonceWrapper,
  kekVersion: number,
  attempt: AttemptIdentity,
  wrapped: Uint8Array,
  options: Cancellable = {},
): Promise<NoncePair<Buffer>> {
  if (wrapped.length !== WRAPPED_NONCES_LENGTH) {
    throw new FormatError('E_NONCE_UNWRAP', `wrapped nonces have ${WRAPPED_NONCES_LENGTH} bytes, not ${wrapped.length}`)
  }
  const kek = { domain: attempt.keyDomain, version: kekVersion }
  const plaintext = await wrapper.unwrap(kek, wrapped, nonceAad(attempt), withSignal(options.signal))
  try {
    const nonceEnc = plaintext.subarray(0, NONCE_LENGTH)
    const nonceSig = plaintext.subarray(NONCE_LENGTH)
    if (!areUsableNonces(nonceEnc, nonceSig)) {
      throw new FormatError('E_NONCE_UNWRAP', 'what was wrapped is not a pair of nonces')
    }
    return { nonceEnc: secretCopy(nonceEnc), nonceSig: secretCopy(nonceSig) }
  } finally {
    wipe(plaintext)
  }
}
