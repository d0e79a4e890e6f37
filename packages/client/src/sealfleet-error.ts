/** What went wrong, for the code that called: the one class of errors that this package throws by itself. */
export class SealfleetError extends Error {
  override readonly name = 'SealfleetError'
  /** of the fleet's closed list (docs/reference/failure-codes.md), or of the HTTP API (docs/reference/client.md) */
  readonly code: string
  /** what happened, in a sentence */
  readonly detail: string
  /** the first thing to do about it */
  readonly fix: string | undefined
  /** whether the same call may succeed later, unchanged. Repeating it is safe: nothing is doubled */
  readonly retryable: boolean
  /** the status of the HTTP answer; undefined where there was none */
  readonly status: number | undefined
  /** the id that the fleet's logs have for the request, where there was one */
  readonly requestId: string | undefined

  constructor(
    code: string,
    detail: string,
    options: {
      readonly fix?: string | undefined
      readonly retryable?: boolean | undefined
      readonly status?: number | undefined
      readonly requestId?: string | undefined
      readonly cause?: unknown
    } = {},
  ) {
    super(`${code}: ${detail}`, 'cause' in options ? { cause: options.cause } : undefined)
    this.code = code
    this.detail = detail
    this.fix = options.fix
    this.retryable = options.retryable ?? false
    this.status = options.status
    this.requestId = options.requestId
  }
}
