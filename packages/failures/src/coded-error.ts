import { adviceFor } from './advice.js'
import type { FailureCode } from './list.js'

/** An error of this package, with a code of the closed list and what to do about it. */
export class CodedError extends Error {
  override readonly name = 'JobsError'
  readonly code: FailureCode
  /** the first thing to do: what this error was given, else a producer's, whose client throws it */
  readonly fix: string
  /** what this error was given, anyone who reads it */
  readonly ownFix: string | undefined

  constructor(code: FailureCode, message: string, options: { cause?: unknown; fix?: string } = {}) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined)
    this.code = code
    this.ownFix = options.fix
    this.fix = options.fix ?? adviceFor(code, 'producer')
  }
}
