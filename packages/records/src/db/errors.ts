/** Every code that this package throws. */
export type RecordsErrorCode =
  /** The database cannot be reached, ended the connection, or did not answer in time. Try again later. */
  | 'DB_UNAVAILABLE'
  /** The database answered and refused the user, the password or the database's name. Trying again does not help. */
  | 'DB_ACCESS_DENIED'
  /** TLS could not be set up: one side does not accept the other's certificate. Trying again does not help. */
  | 'DB_TLS'
  /** The tables are missing or older than this program: run `npm run migrate`. */
  | 'DB_SCHEMA'
  /** The database URL is malformed. */
  | 'DB_URL'
  /** The caller does not hold the lease, or no longer holds it. */
  | 'FENCED'
  /** The domain lacks an active master key, or the key named is not in a state that permits sealing. */
  | 'NO_ACTIVE_KEY'
  /** The record of a stored file names a master key that is not registered; constraints forbid it. */
  | 'E_KEY_UNKNOWN'
  /** A row of a file or an attempt breaks the constraints; the message names file and column. */
  | 'RECORD_DAMAGED'
  /** A nonce was used before under this master key. */
  | 'NONCE_REUSE'
  /** No domain, key, batch, attempt or file of that id. */
  | 'NOT_FOUND'
  /** Another object of that id or name exists and is different. */
  | 'CONFLICT'
  /** The step is not allowed from the present state (as from DESTROYED back to ACTIVE). */
  | 'BAD_STATE'
  /** A value that the caller gave breaks a rule of the schema; `constraint` names it. */
  | 'INVALID'
  /** A hold forbids this destruction or deletion. */
  | 'HELD'
  /** The operation needs a request that operators have signed, and none was named. */
  | 'REQUEST_NEEDED'
  /** The request has expired by the database's clock. */
  | 'REQUEST_EXPIRED'
  /** The request was already used; each is good for one use. */
  | 'REQUEST_USED'
  /** The request was cancelled. */
  | 'REQUEST_CANCELLED'
  /** Valid signatures are missing; the message says how many. */
  | 'REQUEST_UNSIGNED'
  /** The operation differs from the signed one, or the request's row and its signed bytes differ. */
  | 'REQUEST_MISMATCH'
  /** The signature is not the operator's over this request. */
  | 'SIGNATURE_INVALID'
  /** No operator of that name or id. */
  | 'OPERATOR_UNKNOWN'
  /** The operator was revoked. */
  | 'OPERATOR_REVOKED'
  /** The operator has signed this request already. */
  | 'OPERATOR_TWICE'
  /** The operator's role may not sign requests of this kind. */
  | 'OPERATOR_ROLE'
  /** Fewer than two officers would be left. */
  | 'OPERATOR_NEEDED'
  /** Any other refusal of the database. */
  | 'DB_ERROR'

export interface RecordsErrorDetail {
  /** A copy of the driver's error, without row contents. */
  readonly cause?: Error
  /** Five characters, as in https://www.postgresql.org/docs/15/errcodes-appendix.html */
  readonly sqlState?: string
  /** The constraint that refused. */
  readonly constraint?: string
  /** The action to take. */
  readonly fix?: string
}

/** The one error of this package. Its message, cause and fields never hold a password, a nonce or a row. */
export class RecordsError extends Error {
  override readonly name = 'RecordsError'
  readonly code: RecordsErrorCode
  readonly sqlState: string | undefined
  readonly constraint: string | undefined
  readonly fix: string | undefined

  constructor(code: RecordsErrorCode, message: string, detail: RecordsErrorDetail = {}) {
    super(message, detail.cause === undefined ? undefined : { cause: detail.cause })
    this.code = code
    this.sqlState = detail.sqlState
    this.constraint = detail.constraint
    this.fix = detail.fix
  }
}
