import { CodedError, FAILURES, adviceFor, classify, ownAdvice } from '@sealfleet/failures'
import { SealfleetError } from '../sealfleet-error.js'

/** Any error as the one class that callers see; errors that are not of the fleet's services stay as they are. */
export function coded(error: unknown, during: 'database' | 'redis' = 'database'): unknown {
  if (error instanceof SealfleetError || error instanceof TypeError) return error
  const missing = missingDriver(error)
  if (missing !== undefined)
    return new SealfleetError('CONFIG_INVALID', `the package ${missing} is not installed`, {
      cause: error,
      fix: `npm install ${missing}`,
    })
  const { code, from } = classify(error, { during })
  if (code === 'UNCLASSIFIED') return error
  const message = error instanceof CodedError ? error.message : FAILURES[code].summary
  return new SealfleetError(code, message, {
    cause: error,
    fix: ownAdvice(from) ?? adviceFor(code, 'producer'),
    retryable: FAILURES[code].class === 'transient-infrastructure',
  })
}

/** One of the optional drivers that this entry loads when it needs them. */
function missingDriver(error: unknown): string | undefined {
  if (!(error instanceof Error) || (error as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') return undefined
  return /Cannot find package '(pg|bullmq|ioredis)'/.exec(error.message)?.[1]
}
