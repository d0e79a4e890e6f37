import { verify } from 'node:crypto'
import { signedBytes } from './request-body.js'
import { publicKeyObject } from './public-key.js'

/** Of an Ed25519 signature, RFC 8032 §5.1.6. */
export const SIGNATURE_BYTES = 64

/**
 * Whether `signature` is the Ed25519 signature of label(16) `SFV1/op-request` ‖ `body` under the raw 32-byte
 * `publicKey`. A signature of another length is invalid; OpenSSL refuses one whose S is not below the order.
 * @throws RecordsError INVALID for 32 bytes that are not a key
 */
export function signatureFits(input: {
  readonly publicKey: Uint8Array
  readonly body: Uint8Array
  readonly signature: Uint8Array
}): boolean {
  const { publicKey, body, signature } = input
  if (signature.length !== SIGNATURE_BYTES) return false
  return verify(null, signedBytes(body), publicKeyObject(publicKey), signature)
}
