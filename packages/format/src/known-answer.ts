/**
 * The reserved nonce and the known answer of a master key (docs/design/format.md §3): the key's answer to an input of exactly
 * the shape of a file's inputs. No file may use that nonce, so the answer is no file's key, and its digest can be
 * stored.
 */
import { createHash } from 'node:crypto'
import { derivationMessages } from './derivation.js'
import { label } from './mac.js'
import { RESERVED_NONCE } from './reserved-nonce.js'
import type { MasterKeyRef } from './terms.js'

/** Bytes of a known answer. */
export const KNOWN_ANSWER_LENGTH = 32

const NIL = '00000000-0000-0000-0000-000000000000'
const AUDIT_LABEL = label('SFV1/known-nonce')
const DIGEST_LABEL = label('SFV1/known-hash')

/**
 * The messages whose HMACs make the known answer of a key, in order: those of a derivation from the reserved nonce,
 * under suite 2 with file_id and attempt_id zero; for an audit key a labelled message. None for a KEK, which opens a
 * record instead.
 */
export function knownAnswerMessages(key: MasterKeyRef): Buffer[] {
  if (key.role === 'kek') return []
  if (key.role === 'audit') return [Buffer.concat([AUDIT_LABEL, RESERVED_NONCE])]
  const { domain: keyDomain, suite, version } = key
  const nonces = { nonceEnc: RESERVED_NONCE, nonceSig: RESERVED_NONCE }
  const versions = { encKeyVersion: version, sigKeyVersion: version }
  return derivationMessages({ suite, fileId: NIL, attemptId: NIL, ...versions, keyDomain, ...nonces }, key.role)
}

/**
 * SHA-256(label `SFV1/known-hash` ‖ the outputs, 32 bytes each): the value that is registered with a key version and
 * compared.
 */
export function knownAnswerOf(outputs: readonly Uint8Array[]): Buffer {
  const hash = createHash('sha256').update(DIGEST_LABEL)
  for (const output of outputs) hash.update(output)
  return hash.digest()
}
