import type { TokenIdentity, TokenMechanisms } from './messages.js'

/** Requests to an agent in admin mode, and their answers: JSON in ADMIN and OK frames. */
export type AdminRequest =
  | { readonly op: 'generate'; readonly label: string; readonly ckaId: string; readonly acceptUnsound: boolean }
  | { readonly op: 'list' }
  | { readonly op: 'check-value'; readonly label: string; readonly ckaId?: string | undefined }
  | { readonly op: 'make-record'; readonly label: string }
  | { readonly op: 'check-record'; readonly label: string; readonly record: string }
  | { readonly op: 'count'; readonly label: string; readonly ckaId?: string | undefined }
  | { readonly op: 'destroy'; readonly label: string; readonly ckaId?: string | undefined }
  | { readonly op: 'token' }

/** null: the token does not answer for this attribute. */
export type AttributeValue = boolean | number | string | readonly number[] | null

/** By the name of the attribute without `CKA_`. */
export type KeyAttributes = Readonly<Record<string, AttributeValue>>

/** What the token answered to something that must fail. */
export interface Refusal {
  readonly refused: boolean
  /** The return value, by name; `allowed` when there was none. */
  readonly answer: string
}

export interface RawEvidence {
  readonly label: string
  readonly ckaId: string
  readonly kcv: string | null
  readonly record: string | null
  readonly attributes: KeyAttributes
  readonly refusals: {
    readonly readValue: Refusal
    readonly makeExtractable: Refusal
    readonly makeInsensitive: Refusal
    /** One entry a wrapping mechanism the token has; empty when it has none. */
    readonly wrap: readonly (Refusal & { readonly mechanism: string })[]
  }
  /** What is not as it must be, in words; empty for a sound key. */
  readonly problems: readonly string[]
  readonly token: TokenIdentity
}

export interface RawListing {
  readonly label: string
  readonly ckaId: string
  readonly kcv: string | null
  readonly attributes: KeyAttributes
}

export interface TokenReport {
  readonly token: TokenIdentity
  readonly mechanisms: TokenMechanisms
}
