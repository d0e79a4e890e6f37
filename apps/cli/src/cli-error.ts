import { EXIT, type ExitStatus } from './exit-status.js'

/**
 * An error that the command raises itself: its code, a sentence, and what to do about it. Errors of packages keep their
 * own classes; `describe-error.ts` turns both into one report.
 */
export class CliError extends Error {
  override readonly name = 'CliError'
  readonly code: string
  readonly fix: string | undefined
  readonly exitStatus: ExitStatus
  /** extra lines below the message, which is one line */
  readonly lines: readonly string[]

  constructor(
    code: string,
    message: string,
    o: { exitStatus: ExitStatus; fix?: string; cause?: unknown; lines?: readonly string[] },
  ) {
    super(message, o.cause === undefined ? undefined : { cause: o.cause })
    this.code = code
    this.fix = o.fix
    this.exitStatus = o.exitStatus
    this.lines = o.lines ?? []
  }
}

/** A wrong argument: status 2, nothing was tried. */
export function usageError(message: string, fix?: string): CliError {
  return new CliError('USAGE', message, { exitStatus: EXIT.usage, ...(fix === undefined ? {} : { fix }) })
}

/** Something named on the command line that does not exist: status 4. */
export function missingError(code: string, message: string, fix?: string): CliError {
  return new CliError(code, message, { exitStatus: EXIT.missing, ...(fix === undefined ? {} : { fix }) })
}
