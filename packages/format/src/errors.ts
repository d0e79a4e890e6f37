/**
 * Every failure of reading (or producing) a sealed object, as a closed list. The names are part of the format
 * (docs/design/format.md §7): tools and runbooks match on them, so a code is never renamed or reused.
 *
 * Codes are for operators. To an untrusted caller all authentication failures must look the same.
 */
export const FORMAT_ERROR_CODES = [
  /** Not a sealed object, or a field breaks its rule. */
  'E_FORMAT',
  /** A format version or suite that this reader does not know, or that the caller's policy excludes. */
  'E_UNSUPPORTED',
  /** The object's length is impossible in the format, or differs from the authenticated one. */
  'E_LENGTH',
  /** A sound header, but of another file than the caller asked for. */
  'E_WRONG_FILE',
  /** The object is not the one that the record describes. */
  'E_RECORD_MISMATCH',
  /** The master key version that the header names does not exist here. */
  'E_KEY_UNKNOWN',
  /** That master key version was destroyed: the object is permanently unreadable. */
  'E_KEY_DESTROYED',
  /** Detached nonces, and the caller gave none. */
  'E_NONCES_ABSENT',
  /** The wrapped nonces do not unwrap under the KEK, or unwrap to nonces that no sealer uses. */
  'E_NONCE_UNWRAP',
  /** The header's tag does not verify. */
  'E_HEADER_AUTH',
  /** The header is genuine, but the object was sealed with another context. */
  'E_CONTEXT',
  /** The trailer, the digest of all tags, or the end of the object does not verify. */
  'E_TRAILER_AUTH',
  /** The data key is not the one that the header commits to. */
  'E_KEY_COMMIT',
  /** A segment's tag does not verify: no byte of that segment was released. */
  'E_SEGMENT_AUTH',
] as const

export type FormatErrorCode = (typeof FORMAT_ERROR_CODES)[number]

/**
 * A refusal by the format. The message names offsets, fields and lengths, never key material or plaintext.
 *
 * @example
 * if (error instanceof FormatError && error.code === 'E_KEY_DESTROYED') giveUp()
 */
export class FormatError extends Error {
  override readonly name = 'FormatError'
  readonly code: FormatErrorCode

  constructor(code: FormatErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}
