/**
 * HMAC-SHA-256 under K_sig. Every message starts with the label of its role, so that inputs of two roles never collide;
 * a computed tag leaves this file only to be written.
 */
import { createHmac } from 'node:crypto'
import { secrets } from './arena.js'
import { dedicated, equalBytes, wipe } from './secret.js'

/** ASCII, zero-padded to exactly 16 bytes. */
export function label(text: string): Buffer {
  if (text.length > 16 || !/^[\x21-\x7e]+$/.test(text)) throw new RangeError('a label is 1 to 16 bytes of ASCII')
  const padded = dedicated(16)
  padded.write(text, 'latin1')
  return padded
}

export const LABELS = {
  context: label('SFV1/context'),
  header: label('SFV1/header'),
  keyCommit: label('SFV1/key-commit'),
  segment: label('SFV1/segment'),
  final: label('SFV1/final'),
} as const

export type MacRole = keyof typeof LABELS

/** The 32-byte tag of `label(role) ‖ parts`. The HMAC is always finished: Node frees its state in no other way. */
export function mac(key: Uint8Array, role: MacRole, ...parts: readonly Uint8Array[]): Buffer {
  secrets.assertHeld(key)
  const hmac = createHmac('sha256', key).update(LABELS[role])
  let finished = false
  try {
    for (const part of parts) {
      secrets.assertHeld(part)
      hmac.update(part)
    }
    finished = true
    return hmac.digest()
  } finally {
    if (!finished) wipe(hmac.digest())
  }
}

/** Whether `tag` is the tag of `label(role) ‖ parts`: in constant time, and without leaving the right one in memory. */
export function macMatches(tag: Uint8Array, key: Uint8Array, role: MacRole, ...parts: readonly Uint8Array[]): boolean {
  const right = mac(key, role, ...parts)
  try {
    return equalBytes(right, tag)
  } finally {
    wipe(right)
  }
}
