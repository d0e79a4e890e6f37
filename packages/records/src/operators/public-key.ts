import { createPublicKey, type KeyObject } from 'node:crypto'
import { RecordsError } from '../db/errors.js'

/** For an Ed25519 public key as RFC 8032 §5.1.2 writes it. */
export const PUBLIC_KEY_BYTES = 32

const P = 2n ** 255n - 19n
/** −121665 / 121666 mod p */
const D = 37095705934669439343138083508754565189542113879843219016388785533085940283555n

/**
 * The y of the eight points whose order divides 8. Under such a key there are signatures that fit (almost) every
 * message, and OpenSSL accepts them: https://eprint.iacr.org/2020/1244, table 5.
 */
const SMALL_ORDER = new Set([
  0n,
  1n,
  P - 1n,
  2707385501144840649318225287225658788936804267575313519463743609750303402022n,
  55188659117513257062467267217118295137698188065244968500265048394206261417927n,
])

/**
 * Checks that 32 raw bytes are a usable Ed25519 public key: y is below p, the point is on the curve and not of small
 * order.
 * @throws RecordsError INVALID
 */
export function assertPublicKey(raw: Uint8Array): void {
  if (raw.length !== PUBLIC_KEY_BYTES) throw invalid('has 32 bytes')
  const y = BigInt(`0x${Buffer.from(raw).reverse().toString('hex')}`) & (2n ** 255n - 1n)
  if (y >= P) throw invalid('is written in its shortest form; this one is not')
  if (SMALL_ORDER.has(y)) throw invalid('has a large order; under this one anybody could sign')
  const yy = (y * y) % P
  const xx = ((yy - 1n + P) * power((D * yy + 1n) % P, P - 2n)) % P
  if (power(xx, (P - 1n) / 2n) !== 1n) throw invalid('is a point of the curve; this one is not')
}

/** `base ** exponent` mod p. Only for public values: its running time depends on them. */
function power(base: bigint, exponent: bigint): bigint {
  let result = 1n
  for (let square = base, rest = exponent; rest > 0n; rest >>= 1n) {
    if (rest & 1n) result = (result * square) % P
    square = (square * square) % P
  }
  return result
}

/** For node:crypto. @throws RecordsError INVALID as assertPublicKey does */
export function publicKeyObject(raw: Uint8Array): KeyObject {
  assertPublicKey(raw)
  const x = Buffer.from(raw).toString('base64url')
  return createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' })
}

/** SubjectPublicKeyInfo of RFC 8410 is this and the 32 bytes. */
const SPKI_PREFIX = Buffer.from('302a300506032b6570032100', 'hex')

/** The 32 bytes of a key object. @throws RecordsError INVALID when it is not an Ed25519 key */
export function rawPublicKey(key: KeyObject): Buffer {
  if (key.asymmetricKeyType !== 'ed25519')
    throw invalid(`is an Ed25519 key, not ${key.asymmetricKeyType ?? 'a secret'}`)
  return key.export({ type: 'spki', format: 'der' }).subarray(SPKI_PREFIX.length)
}

function invalid(rule: string): RecordsError {
  return new RecordsError('INVALID', `an operator’s public key ${rule}`)
}
