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
 * - `login` fatal: no retry, lock the PIN out, page
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

/** One code that a vendor, or one function, uses with another meaning; `fn` limits it to that function. */
export interface ProfileRow {
  readonly class: ErrorClass
  readonly code: number
  /** The name in the vendor's header. */
  readonly name: string
  /** The only Cryptoki function that the row applies to. */
  readonly fn?: string
}

export type VendorName = 'softhsm' | 'opencryptoki' | 'nss' | 'aws-cloudhsm' | 'luna' | 'nshield' | 'yubihsm2'

/** Every given pattern must match. */
export interface TokenPattern {
  readonly manufacturer?: RegExp
  readonly model?: RegExp
  /** The library's description (C_GetInfo). */
  readonly library?: RegExp
}

/** Peculiarities of a vendor's module. Codes without a row are as in the standard table. */
export interface VendorProfile {
  readonly name: VendorName
  readonly title: string
  /** The tokens of this vendor, recognised by words in the descriptions of the token and its library. */
  readonly match: readonly TokenPattern[]
  /** Whether we tested one; all other profiles come from the vendor's public documents alone. */
  readonly tried: boolean
  readonly source: string
  readonly rows: readonly ProfileRow[]
  /** `read-write`: the module refuses read-only sessions. */
  readonly sessions?: 'read-write'
  /** `from-token`: AES-GCM encrypts only under an IV that the token makes, which wrapped nonces cannot use. */
  readonly gcmIv?: 'from-token'
  /** How a signing master is made if a generic secret does not sign HMAC-SHA-256. */
  readonly signingKey?: { readonly mechanism: number; readonly keyType: number }
  /** `false`: the module fails on CKA_ALLOWED_MECHANISMS in a template instead of reporting it as unknown. */
  readonly allowedMechanisms?: false
  /** Facts that an operator must know before using it with this pool. */
  readonly notes: readonly string[]
}
