import { isWellFormedDerivation, type MasterKeyRef } from './contract.js'

/**
 * Decides which bytes may reach a key at all. Checked in the client, and again in the agent: a signing master that MACs
 * chosen bytes would be an oracle for other files' keys (FORMAT §3).
 */

/** The message of every key check value. 11 bytes: it can equal neither a nonce (32) nor a suite 2 input (106). */
export const KCV_MESSAGE = Buffer.from('SFV1-KCV-v1', 'latin1')
export const KCV_LENGTH = 8

export const NONCES_LENGTH = 64
const NONCES_AAD_LENGTH = 74
export const IV_LENGTH = 12
export const WRAPPED_LENGTH = IV_LENGTH + NONCES_LENGTH + 16

const NONCES_LABEL = paddedLabel('SFV1/nonces')
const KEK_CHECK_LABEL = paddedLabel('SFV1/kek-check')
const AUDIT_MAX = 64 * 1024
const SHA256_LENGTH = 32

/** ASCII, zero-padded to exactly 16 bytes (FORMAT §2). */
function paddedLabel(text: string): Buffer {
  const label = Buffer.alloc(16)
  label.write(text, 'latin1')
  return label
}

/** An audit message begins with a 16-byte label, continues after it, and never has the length of a digest. */
export function isAuditMessage(message: Uint8Array): boolean {
  if (message.length <= 16 || message.length === SHA256_LENGTH || message.length > AUDIT_MAX) return false
  const label = Buffer.from(message.buffer, message.byteOffset, 16).toString('latin1')
  return /^SFV1\/[\x21-\x7e]+\0*$/.test(label)
}

/** Whether `message` may be MACed under `key`. */
export function isAllowedHmacInput(key: MasterKeyRef, message: Uint8Array): boolean {
  if (key.role === 'audit') return isAuditMessage(message)
  return (key.role === 'enc' || key.role === 'sig') && isWellFormedDerivation(key, message)
}

/**
 * Whether `aad` is the associated data of wrapped nonces (FORMAT §5): the only data a KEK ever protects for callers.
 */
export function isNoncesAad(aad: Uint8Array): boolean {
  return aad.length === NONCES_AAD_LENGTH && NONCES_LABEL.equals(aad.subarray(0, 16))
}

/**
 * The content of a KEK's check record: a fixed text of 64 bytes, under associated data that names the key. Its label
 * differs from that of nonces, so that neither can pass for the other.
 */
export function kekCheckInput(label: string): { plaintext: Buffer; aad: Buffer } {
  const plaintext = Buffer.alloc(NONCES_LENGTH)
  plaintext.write('Sealfleet key encryption key check, version 1', 'latin1')
  return { plaintext, aad: Buffer.concat([KEK_CHECK_LABEL, Buffer.from(label, 'latin1')]) }
}
