/**
 * From nonces to keys (docs/design/format.md §3). The HSM computes the HMACs; this file builds their messages, and recognises
 * them, so that the HSM's interface can refuse every other message.
 */
import { u32 } from './integers.js'
import { NONCE_LENGTH, areUsableNonces } from './nonce.js'
import { isReservedNonce } from './reserved-nonce.js'
import { allOrWipe, secret, secretCopy, takeOver, wipe } from './secret.js'
import {
  type AttemptIdentity,
  type Cancellable,
  type KeyDeriver,
  type MasterKeyRef,
  type Suite,
  withSignal,
} from './terms.js'
import { keyDomainToBytes, uuidToBytes } from './uuid.js'

/** The inputs of both derivations: the attempt and its real nonces. */
export interface DerivationInput extends AttemptIdentity {
  readonly nonceEnc: Uint8Array
  readonly nonceSig: Uint8Array
}

type DerivationRole = 'enc' | 'sig'

const PRF_LENGTH = 32
/** Suite 2, one role each: the raw label (11 bytes, unpadded), the requested bits, and the number of blocks. */
const SUITE_2 = {
  enc: { label: Buffer.from('SFV1/S2/ENC', 'latin1'), bits: 384, blocks: 2 },
  sig: { label: Buffer.from('SFV1/S2/SIG', 'latin1'), bits: 256, blocks: 1 },
} as const

/** [i]_32 ‖ Label ‖ 00 ‖ Context ‖ [L]_32 */
export const SUITE_2_MESSAGE_LENGTH = 4 + 11 + 1 + (2 + 16 + 16 + 4 + 16 + NONCE_LENGTH) + 4
const AT_LABEL = 4
const AT_SEPARATOR = 15
const AT_SUITE = 16
const AT_VERSION = 50
const AT_DOMAIN = 54
const AT_NONCE = 70
const AT_BITS = 102

export function masterKeyOf(input: AttemptIdentity, role: DerivationRole): MasterKeyRef {
  const version = role === 'enc' ? input.encKeyVersion : input.sigKeyVersion
  return { role, domain: input.keyDomain, suite: input.suite, version }
}

/** The messages to send, in order: one for suite 1, one per block for suite 2. The caller wipes them. */
export function derivationMessages(input: DerivationInput, role: DerivationRole): Buffer[] {
  const nonce = role === 'enc' ? input.nonceEnc : input.nonceSig
  if (input.suite === 1) return [secretCopy(nonce)]
  const { label, bits, blocks } = SUITE_2[role]
  const fixed = [
    Buffer.from([0, 0, input.suite]),
    uuidToBytes(input.fileId, 'fileId'),
    uuidToBytes(input.attemptId, 'attemptId'),
    u32(masterKeyOf(input, role).version, 'key version'),
    keyDomainToBytes(input.keyDomain),
    nonce,
    u32(bits),
  ]
  return Array.from({ length: blocks }, (_, block) => {
    const message = secret(SUITE_2_MESSAGE_LENGTH)
    let at = 0
    for (const part of [u32(block + 1), label, ...fixed]) {
      message.set(part, at)
      at += part.length
    }
    return message
  })
}

/**
 * Whether `message` may be HMACed under `key` at all: exactly 32 bytes under a suite 1 key; under a suite 2 key the 106
 * bytes of its own role, with its own version and domain in them; never with the reserved nonce. No other role derives
 * anything. The HSM's interface checks this before every call, so that no master key can be used as an oracle for other
 * messages.
 */
export function isWellFormedDerivation(key: MasterKeyRef, message: Uint8Array): boolean {
  if (key.role !== 'enc' && key.role !== 'sig') return false
  if (key.suite === 1) return message.length === NONCE_LENGTH && !isReservedNonce(message)
  if (key.suite !== 2 || message.length !== SUITE_2_MESSAGE_LENGTH) return false
  const bytes = Buffer.from(message.buffer, message.byteOffset, message.length)
  const { label, bits, blocks } = SUITE_2[key.role]
  const block = bytes.readUInt32BE(0)
  return (
    block >= 1 &&
    block <= blocks &&
    bytes.subarray(AT_LABEL, AT_SEPARATOR).equals(label) &&
    bytes[AT_SEPARATOR] === 0 &&
    bytes.readUInt16BE(AT_SUITE) === 2 &&
    bytes.readUInt32BE(AT_VERSION) === key.version &&
    bytes.subarray(AT_DOMAIN, AT_NONCE).equals(keyDomainToBytes(key.domain)) &&
    !isReservedNonce(bytes.subarray(AT_NONCE, AT_BITS)) &&
    bytes.readUInt32BE(AT_BITS) === bits
  )
}

async function prf(keys: KeyDeriver, key: MasterKeyRef, message: Buffer, options: Cancellable): Promise<Buffer> {
  const output = await keys.hmac(key, message, withSignal(options.signal))
  if (output.length !== PRF_LENGTH) {
    wipe(output)
    throw new TypeError(`the key deriver gave ${output.length} bytes, not ${PRF_LENGTH}`)
  }
  return takeOver(output)
}

async function derive(
  keys: KeyDeriver,
  input: DerivationInput,
  role: DerivationRole,
  length: number,
  options: Cancellable,
): Promise<Buffer> {
  if (!areUsableNonces(input.nonceEnc, input.nonceSig)) {
    throw new TypeError('nonces must differ and be neither zero nor the reserved one')
  }
  const messages = derivationMessages(input, role)
  const key = masterKeyOf(input, role)
  let blocks: readonly Buffer[] = []
  try {
    blocks = await allOrWipe(...messages.map((message) => prf(keys, key, message, options)))
    const derived = secret(length)
    blocks.forEach((block, i) => derived.set(block.subarray(0, length - i * PRF_LENGTH), i * PRF_LENGTH))
    return derived
  } finally {
    wipe(...messages, ...blocks)
  }
}

/** K_sig, 32 bytes; one HSM call. The caller wipes it. */
export function deriveSigningKey(keys: KeyDeriver, input: DerivationInput, options: Cancellable = {}): Promise<Buffer> {
  return derive(keys, input, 'sig', 32, options)
}

/** DK: 32 bytes and one HSM call for suite 1, 48 bytes and two calls for suite 2. The caller wipes it. */
export function deriveDataKey(keys: KeyDeriver, input: DerivationInput, options: Cancellable = {}): Promise<Buffer> {
  return derive(keys, input, 'enc', input.suite === 1 ? 32 : 48, options)
}

/** The AES key inside a DK, as a view: wiping the DK wipes it. */
export function aesKeyOf(suite: Suite, dataKey: Buffer): Buffer {
  return suite === 1 ? dataKey.subarray(16, 32) : dataKey.subarray(0, 32)
}

/** The initial counter block inside a DK, as a view. */
export function initialCounterOf(suite: Suite, dataKey: Buffer): Buffer {
  return suite === 1 ? dataKey.subarray(0, 16) : dataKey.subarray(32, 48)
}
