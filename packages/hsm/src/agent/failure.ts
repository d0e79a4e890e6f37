import { ckrName } from '../errors/ckr.js'
import type { OperationError, Verdict } from '../wire/messages.js'
import { CkrError } from './cryptoki.js'

/** An operation's final failure inside the agent: it is sent over the pipe. */
export class OperationFailure extends Error {
  override readonly name = 'OperationFailure'
  readonly verdict: Verdict

  constructor(verdict: Verdict, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.verdict = verdict
  }

  toMessage(errorClass?: string): OperationError {
    const { cause } = this
    const source = cause instanceof CkrError ? { ckr: cause.ckr, fn: cause.fn } : {}
    return { verdict: this.verdict, text: this.message, class: errorClass, ...source }
  }
}

/** One sentence about any failure, without values: for events and start-up messages. */
export function describe(error: unknown): string {
  if (error instanceof CkrError) return `${error.fn} returned ${ckrName(error.ckr)}`
  return error instanceof Error ? error.message : String(error)
}
