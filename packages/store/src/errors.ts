/**
 * Every error that the store throws, except two that pass through unchanged: the reason of a caller's AbortSignal and
 * the errors of a caller's body.
 *
 * An SDK error carries the string that was signed, headers, sometimes the access key's id. So it is never a `cause`
 * itself: only its name, code, status and request id are kept, and the store's own sentence, cleaned (`said`).
 */
export const STORE_ERROR_CODES = [
  'S3_THROTTLED',
  'S3_UNAVAILABLE',
  'S3_TIMEOUT',
  'S3_ACCESS_DENIED',
  /** TLS could not be set up: one side does not accept the other's certificate. */
  'S3_TLS',
  'S3_NO_BUCKET',
  'S3_NO_SUCH_OBJECT',
  /** Another attempt's object, or one of unknown origin, sits at the key. */
  'S3_OBJECT_EXISTS',
  /** The store keeps the version until a date, or under a legal hold; the message says which. */
  'OBJECT_LOCKED',
  /** The multipart upload was removed while it was in progress. */
  'S3_NO_SUCH_UPLOAD',
  /** The store lacks a feature that the operation needs. */
  'S3_UNSUPPORTED',
  /** Any other refusal (4xx). */
  'S3_REJECTED',
  'CHECKSUM_MISMATCH',
  'LENGTH_MISMATCH',
  'SOURCE_TOO_LARGE',
] as const

export type StoreErrorCode = (typeof STORE_ERROR_CODES)[number]

export interface StoreErrorDetails {
  /** What to do about it. */
  readonly fix: string
  readonly cause?: unknown
  readonly httpStatus?: number
}

export class StoreError extends Error {
  override readonly name = 'StoreError'
  readonly code: StoreErrorCode
  readonly fix: string
  declare readonly httpStatus?: number

  constructor(code: StoreErrorCode, message: string, details: StoreErrorDetails) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    this.code = code
    this.fix = details.fix
    if (details.httpStatus !== undefined) this.httpStatus = details.httpStatus
  }
}
