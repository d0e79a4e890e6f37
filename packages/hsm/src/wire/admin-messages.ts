import type { TokenIdentity, TokenMechanisms, WantLogin } from './messages.js'

/** Requests to an agent in admin mode, and their answers: JSON in ADMIN and OK frames. */
export type AdminRequest =
  | { readonly op: 'generate'; readonly label: string; readonly ckaId: string; readonly acceptUnsound: boolean }
  | { readonly op: 'list' }
  | { readonly op: 'check-value'; readonly label: string; readonly ckaId?: string | undefined }
  | { readonly op: 'known-answer'; readonly label: string; readonly ckaId?: string | undefined }
  | { readonly op: 'make-record'; readonly label: string }
  | { readonly op: 'check-record'; readonly label: string; readonly record: string }
  | { readonly op: 'count'; readonly label: string; readonly ckaId?: string | undefined }
  | { readonly op: 'destroy'; readonly label: string; readonly ckaId?: string | undefined }
  | { readonly op: 'token' }

/** null: the token does not answer for this attribute. */
export type AttributeValue = boolean | number | string | readonly number[] | null

/** By the name of the attribute without `CKA_`. */
export type KeyAttributes = Readonly<Record<string, AttributeValue>>

/** The token's answer to an operation that must fail. */
export interface RefusedUse {
  readonly refused: boolean
  /** The return value, by name; `allowed` when there was none. */
  readonly answer: string
}

export interface RawEvidence {
  readonly label: string
  readonly ckaId: string
  readonly kcv: string | null
  readonly record: string | null
  /** The known answer, 32 bytes, hex; null for a KEK. */
  readonly answer: string | null
  readonly attributes: KeyAttributes
  readonly refusals: {
    readonly readValue: RefusedUse
    readonly makeExtractable: RefusedUse
    readonly makeInsensitive: RefusedUse
    /** One entry per wrapping mechanism of the token; empty when it has none. */
    readonly wrap: readonly (RefusedUse & { readonly mechanism: string })[]
  }
  /** Problems of the key, in words; empty for a sound key. */
  readonly problems: readonly string[]
  readonly token: TokenIdentity
}

export interface RawListing {
  readonly label: string
  readonly ckaId: string
  readonly kcv: string | null
  readonly attributes: KeyAttributes
}

/** The token's stated limits; null: it states none. */
export interface TokenLimits {
  readonly maxSessions: number | null
  /** Open now, by all users of the token that its library knows of. */
  readonly sessions: number | null
  readonly maxReadWriteSessions: number | null
  readonly minPinLength: number
  readonly maxPinLength: number
  /** Key sizes of CKM_SHA256_HMAC and CKM_AES_GCM, in the token's own unit. */
  readonly hmacKey: { readonly min: number; readonly max: number } | null
  readonly gcmKey: { readonly min: number; readonly max: number } | null
}

export interface MechanismListing {
  readonly number: number
  /** CKM_…; null for a number that is not in the standard. */
  readonly name: string | null
}

export interface TokenReport {
  readonly token: TokenIdentity
  /** The mechanisms that Sealfleet can use. */
  readonly mechanisms: TokenMechanisms
  readonly limits: TokenLimits
  /** All listed mechanisms, by number. */
  readonly mechanismList: readonly MechanismListing[]
  readonly pin: WantLogin['pin']
}
