import { ConfigError, describeProblem } from '@sealfleet/config'
import { adviceFor, classify, FAILURES, isFailureCode, ownAdvice, type ClassifyContext } from '@sealfleet/failures'
import { RecordsError } from '@sealfleet/records'
import { withCauses } from './causes.js'
import { CliError } from './cli-error.js'
import { EXIT, type ExitStatus } from './exit-status.js'
import { hasCode } from './files/errno.js'
import { oneLine } from './output/printable.js'

/** An error as the user sees it. */
export interface ErrorReport {
  readonly code: string
  /** one line, whatever it repeats from outside */
  readonly message: string
  /** extra lines below it */
  readonly lines?: readonly string[]
  readonly fix?: string
  readonly exitStatus: ExitStatus
}

/**
 * Turns any thrown value into code, sentence, fix and exit status. Our own errors keep their messages, drivers' errors
 * get the sentence of their failure code; the causes' messages follow, cleaned and once. The advice is for the user of
 * a command, not for the fleet's on-call.
 */
export function describeError(thrown: unknown, during?: ClassifyContext['during']): ErrorReport {
  const error = firstFailure(thrown)
  if (error instanceof CliError) {
    const { code, exitStatus, lines } = error
    const fix = error.fix === undefined ? usualFix(code) : oneLine(error.fix)
    return {
      code,
      message: shortened(withCauses(error.message, error.cause)),
      exitStatus,
      ...(lines.length === 0 ? {} : { lines: lines.map(shortened) }),
      ...(fix === undefined ? {} : { fix }),
    }
  }
  if (error instanceof ConfigError) return configReport(error)
  if (hasCode(error, 'EPIPE')) {
    return { code: 'OUTPUT_IO', message: 'the reader of the output went away', exitStatus: EXIT.failed }
  }
  if (error instanceof RecordsError && error.code in OF_ARGUMENTS) {
    const { fix, ...shown } = OF_ARGUMENTS[error.code as keyof typeof OF_ARGUMENTS]
    return { ...shown, message: shortened(error.message), fix: ownAdvice(error) ?? fix }
  }
  const { code, failure, from } = classify(error, during === undefined ? {} : { during })
  const own = textOfOwn(from, code)
  return {
    code,
    message: shortened(
      own === undefined
        ? withCauses(code === 'UNCLASSIFIED' ? unclassified(error) : failure.summary, error)
        : from instanceof RecordsError
          ? own
          : withCauses(own, causeOf(from)),
    ),
    fix: ownAdvice(from) ?? adviceFor(code, 'command'),
    exitStatus: failure.exitStatus,
  }
}

/** For a producer these mean a wrong request; for the user of a command, wrong arguments. */
const OF_ARGUMENTS = {
  INVALID: { code: 'USAGE', exitStatus: EXIT.usage, fix: 'see --help of the command' },
  CONFLICT: {
    code: 'CONFLICT',
    exitStatus: EXIT.failed,
    fix: 'look at what exists, and give another name or the same values',
  },
} as const

function usualFix(code: string): string | undefined {
  if (code === 'USAGE') return OF_ARGUMENTS.INVALID.fix
  // The list's advice is for a cancelled file; here the user has answered no.
  if (code === 'CANCELLED') return 'run the command again, and type exactly what it asks for'
  return isFailureCode(code) ? adviceFor(code, 'command') : undefined
}

function causeOf(error: unknown): unknown {
  return error instanceof Error ? error.cause : undefined
}

const LONGEST = 2_000

/** Keeps a message that repeats user input (a pasted file, control characters) one readable line. */
export function shortened(message: string): string {
  const shown = oneLine(message)
  return shown.length <= LONGEST ? shown : `${shown.slice(0, LONGEST)}… (${shown.length} characters)`
}

/** A failure that a record names by its code alone, e.g. that of a dead letter. */
export function statusOfCode(code: string): ExitStatus {
  return isFailureCode(code) ? FAILURES[code].exitStatus : EXIT.failed
}

/** When closing fails after a failure, the failure is what counts. */
function firstFailure(error: unknown): unknown {
  const isSuppressed = error instanceof Error && error.name === 'SuppressedError' && 'suppressed' in error
  return isSuppressed ? firstFailure(error.suppressed) : error
}

/** The closed list's text for a code in a record. */
export function explainCode(code: string): { readonly code: string; readonly message: string; readonly fix: string } {
  if (!isFailureCode(code)) return { code, message: 'the file was not stored', fix: 'see `sealfleet trace ID`' }
  const { summary, fix } = FAILURES[code]
  return { code, message: summary, fix }
}

function configReport(error: ConfigError): ErrorReport {
  const names = error.problems.map(({ variable }) => variable).filter((name) => name.startsWith('SEALFLEET_'))
  const [only] = error.problems
  return {
    code: error.code,
    message: error.problems.length === 1 && only ? shortened(describeProblem(only)) : error.heading,
    ...(error.problems.length === 1
      ? {}
      : { lines: error.problems.map((one) => `- ${shortened(describeProblem(one))}`) }),
    fix:
      names.length === 0
        ? 'correct the file, or name another with --config'
        : `set ${names.map(oneLine).join(', ')} in the environment or in a file given by --config (npm run quickstart writes one)`,
    exitStatus: EXIT.usage,
  }
}

/** Errors of our own packages carry a code of the closed list (the records’ a few of their own) and a message made for operators. */
function textOfOwn(from: unknown, code: string): string | undefined {
  if (!(from instanceof Error)) return undefined
  const own = from instanceof RecordsError || (from as { code?: unknown }).code === code
  return own ? shortened(from.message) : undefined
}

function unclassified(error: unknown): string {
  if (error instanceof Error) return `${oneLine(error.name)}: ${shortened(error.message)}`
  return 'a value that is not an error was thrown'
}
