/** Nonces: 32 random bytes each, two per attempt, and the id under which a record keeps them unique. */
import { createHash, randomFillSync } from 'node:crypto'
import { label } from './mac.js'
import { isReservedNonce } from './reserved-nonce.js'
import { equalBytes, isZero, secret, wipe } from './secret.js'
import type { NoncePair } from './terms.js'

export const NONCE_LENGTH = 32
const NONCE_ID = label('SFV1/nonce-id')

/** Fills a buffer with random bytes from a CSPRNG. */
export type RandomFill = (target: Uint8Array) => void

/**
 * Neither all zero, nor equal, nor the reserved nonce: a CSPRNG never gives the first two, the third gives a known
 * answer. No sealer may use them.
 */
export function areUsableNonces(nonceEnc: Uint8Array, nonceSig: Uint8Array): boolean {
  if (nonceEnc.length !== NONCE_LENGTH || nonceSig.length !== NONCE_LENGTH) return false
  if (isReservedNonce(nonceEnc) || isReservedNonce(nonceSig)) return false
  return !isZero(nonceEnc) && !isZero(nonceSig) && !equalBytes(nonceEnc, nonceSig)
}

/**
 * The nonces of a new attempt, which the caller wipes. Throws when the random source gives zeros, the same bytes
 * twice or the reserved nonce: it is broken then, and drawing again would hide it.
 *
 * @example
 * const { nonceEnc, nonceSig } = freshNonces()
 */
export function freshNonces(random: RandomFill = (target) => void randomFillSync(target)): NoncePair<Buffer> {
  const nonceEnc = secret(NONCE_LENGTH)
  const nonceSig = secret(NONCE_LENGTH)
  random(nonceEnc)
  random(nonceSig)
  if (!areUsableNonces(nonceEnc, nonceSig)) {
    wipe(nonceEnc, nonceSig)
    throw new Error('the random source is broken: it gave zeros, the same nonce twice, or the reserved one')
  }
  return { nonceEnc, nonceSig }
}

/**
 * SHA-256(label `SFV1/nonce-id` ‖ nonce): unique per master key in the records, in both nonce modes, and of no use to
 * someone who looks for the nonce. Throws RangeError unless the nonce has 32 bytes.
 */
export function nonceId(nonce: Uint8Array): Buffer {
  if (nonce.length !== NONCE_LENGTH) throw new RangeError(`a nonce has ${NONCE_LENGTH} bytes, not ${nonce.length}`)
  return createHash('sha256').update(NONCE_ID).update(nonce).digest()
}
