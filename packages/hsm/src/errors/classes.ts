/**
 * What to do about a return value.
 *
 * - `fine`           treat as success
 * - `retry`          the same session, after 50–400 ms, three times; then a new session once
 * - `session`        replace the session and retry once; two sessions within a second: reopen all
 * - `rebind`         log in if need be, find the key again, compare its check value, retry once
 * - `general`        replace the session and retry once; the second time in 30 s as `recycle`
 * - `recycle`        answer from the other agent; this one is replaced
 * - `capacity`       serve with the sessions that opened, and alert
 * - `login`          fatal: no retry, latch the PIN, page
 * - `configuration`  fatal: HSM_ACCESS_DENIED; intake pauses, page
 * - `data`           integrity failure of that one record
 */
export const ERROR_CLASSES = [
  'fine',
  'retry',
  'session',
  'rebind',
  'general',
  'recycle',
  'capacity',
  'login',
  'configuration',
  'data',
] as const
export type ErrorClass = (typeof ERROR_CLASSES)[number]

/** One code (of one function, where named) that a vendor, or one function, means differently. */
export interface ProfileRow {
  readonly class: ErrorClass
  readonly code: number
  /** As the vendor's header has it. */
  readonly name: string
  /** The only Cryptoki function it holds for. */
  readonly fn?: string
}

export type VendorName = 'softhsm' | 'opencryptoki' | 'nss' | 'aws-cloudhsm' | 'luna' | 'nshield' | 'yubihsm2'

/** Every pattern that is given must match. */
export interface TokenPattern {
  readonly manufacturer?: RegExp
  readonly model?: RegExp
  /** The library's description (C_GetInfo). */
  readonly library?: RegExp
}

/** What a vendor's module does in its own way. Codes without a row are as in the standard table. */
export interface VendorProfile {
  readonly name: VendorName
  readonly title: string
  /** The tokens it is for, in any of these words of the token and its library about themselves. */
  readonly match: readonly TokenPattern[]
  /** Whether we had one to try; all others are from the vendor's public documents alone. */
  readonly tried: boolean
  readonly source: string
  readonly rows: readonly ProfileRow[]
  /** `read-write`: the module refuses read-only sessions. */
  readonly sessions?: 'read-write'
  /** `from-token`: AES-GCM encrypts under an IV of the token's making only, which wrapped nonces can't use. */
  readonly gcmIv?: 'from-token'
  /** How a signing master is made, where a generic secret does not sign HMAC-SHA-256. */
  readonly signingKey?: { readonly mechanism: number; readonly keyType: number }
  /** `false`: the module fails on CKA_ALLOWED_MECHANISMS in a template instead of saying that it does not know it. */
  readonly allowedMechanisms?: false
  /** What an operator must know before trusting it with this pool. */
  readonly notes: readonly string[]
}
