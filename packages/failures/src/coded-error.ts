import { adviceFor } from './advice.js'
import type { FailureCode } from './list.js'

/** An error of this package, with a code of the closed list and advice. */
export class CodedError extends Error {
  override readonly name = 'CodedError'
  readonly code: FailureCode
  /** the first action: this error's own advice, else the list's for a producer, whose client throws it */
  readonly fix: string
  /** this error's own advice, for any reader */
  readonly ownFix: string | undefined

  constructor(code: FailureCode, message: string, options: { cause?: unknown; fix?: string } = {}) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined)
    this.code = code
    this.ownFix = options.fix
    this.fix = options.fix ?? adviceFor(code, 'producer')
  }
}
