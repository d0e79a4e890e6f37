/** The only nonce that no file may use: with it a master key gives its known answer (known-answer.ts). */
import { createHash } from 'node:crypto'
import { label } from './mac.js'
import { equalBytes } from './secret.js'

/** SHA-256(label `SFV1/known-nonce`): 32 bytes that look like any other nonce, so that no HSM treats them otherwise. */
export const RESERVED_NONCE: Uint8Array = createHash('sha256').update(label('SFV1/known-nonce')).digest()

export function isReservedNonce(nonce: Uint8Array): boolean {
  return equalBytes(nonce, RESERVED_NONCE)
}
