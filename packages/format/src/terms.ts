/**
 * The terms of this package.
 *
 * - **file**: what a producer asked to be kept; named by a `file_id`.
 * - **attempt**: one try at sealing a file. It owns two fresh nonces, hence two keys that exist for it alone.
 * - **object**: a sealed file: header, segments, trailer (docs/design/format.md §4).
 * - **segment**: S = 2^seg_log2 bytes of plaintext, encrypted, followed by its tag. Only the last may be shorter.
 * - **master key**: a key in the HSM, named by role, key domain, suite and version. It never comes here.
 * - **nonce**: 32 random bytes; a derived key is the HMAC of a nonce under a master key.
 * - **DK**: derived by the encryption master: the AES key and the initial counter block.
 * - **K_sig**: derived by the signing master: the key of every tag in the object.
 * - **inline / detached**: the nonces stand in the header / are kept wrapped in the record, and the header holds zeros.
 * - **context**: up to 1,024 bytes that the caller binds to the file, authenticated but not stored in the object.
 *
 * Ids are lower-case UUIDs with dashes. A key domain is `'default'` (sixteen zero bytes on the wire) or a UUID.
 * Lengths and offsets are in bytes, as `number`: no object is longer than 2^44 plus its overhead.
 */

/** 1: AES-128-CTR, keys by one HMAC. 2: AES-256-CTR, keys by SP 800-108 in counter mode. */
export type Suite = 1 | 2

export type Role = 'enc' | 'sig' | 'kek' | 'audit'

/** Names a master key. `suite` matters only for roles `enc` and `sig`; it is 1 for the others. */
export interface MasterKeyRef {
  readonly role: Role
  readonly domain: string
  readonly suite: Suite
  /** ≥ 1; one sequence per domain and role, across suites. */
  readonly version: number
}

export interface Cancellable {
  readonly signal?: AbortSignal | undefined
}

/** The HSM's part in derivation. */
export interface KeyDeriver {
  /**
   * HMAC-SHA-256 of `message` under a master key: 32 bytes that the caller owns, and gives back with this package's
   * `wipe`. Taken from the arena (`secret`) they are used where they lie.
   * Throws its own errors (HSM out of reach, key unknown); they reach the caller of this package unchanged.
   */
  hmac(key: MasterKeyRef, message: Uint8Array, options?: { signal?: AbortSignal }): Promise<Uint8Array>
}

/** The HSM's part in detached nonces: AES-256-GCM under a key encryption key (docs/design/format.md §5). */
export interface NonceWrapper {
  /** 64 bytes of nonces and 74 of AAD in, 92 out: iv(12) ‖ ct(64) ‖ tag(16), the iv random and fresh. */
  wrap(
    kek: { domain: string; version: number },
    plaintext: Uint8Array,
    aad: Uint8Array,
    options?: { signal?: AbortSignal },
  ): Promise<Uint8Array>
  /** The inverse; throws an error with code `E_NONCE_UNWRAP` when the tag does not verify. The caller wipes. */
  unwrap(
    kek: { domain: string; version: number },
    wrapped: Uint8Array,
    aad: Uint8Array,
    options?: { signal?: AbortSignal },
  ): Promise<Uint8Array>
}

/** The identity of an attempt, as an input of derivation and of the AAD of wrapped nonces. */
export interface AttemptIdentity {
  readonly suite: Suite
  readonly fileId: string
  readonly attemptId: string
  readonly encKeyVersion: number
  readonly sigKeyVersion: number
  readonly keyDomain: string
}

/** Two different nonces of 32 bytes, neither all zero. */
export interface NoncePair<Bytes extends Uint8Array = Uint8Array> {
  readonly nonceEnc: Bytes
  readonly nonceSig: Bytes
}

/** Bytes bound to a file by its caller: 0 to 1,024 of them. */
export const MAX_CONTEXT_LENGTH = 1024

/** Passes a signal on without ever writing `signal: undefined` (exactOptionalPropertyTypes). */
export function withSignal(signal: AbortSignal | undefined): { signal?: AbortSignal } {
  return signal ? { signal } : {}
}
