import { FAILURES, type FailureCode } from './list.js'

/** An error of this package, with a code of the closed list and what to do about it. */
export class JobsError extends Error {
  override readonly name = 'JobsError'
  readonly code: FailureCode
  /** the first thing to do */
  readonly fix: string

  constructor(code: FailureCode, message: string, options: { cause?: unknown; fix?: string } = {}) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined)
    this.code = code
    this.fix = options.fix ?? FAILURES[code].fix
  }
}
