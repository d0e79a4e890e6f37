import { classify, effectiveUser, type FailureCode } from '@sealfleet/failures'

/** Why a source could not be read: entries of the closed list of failure codes (packages/queue). */
export type SourceErrorCode = Extract<FailureCode, `SOURCE_${string}` | 'ROOT_UNKNOWN' | 'ROOT_UNAVAILABLE'>

/** A source that cannot be read as asked. The message names root and relative path, never the absolute path. */
export class SourceError extends Error {
  override readonly name = 'SourceError'
  readonly code: SourceErrorCode

  constructor(code: SourceErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.code = code
  }
}

/**
 * Turns a file-system error about `where` into a SourceError, by the errno table of packages/queue; anything else passes
 * through unchanged. @param refuses for missing rights: the refusing file or folder, named as in `where`
 */
export function sourceErrorFrom(error: unknown, where: string, refuses?: string): unknown {
  if (error instanceof SourceError || !(error instanceof Error)) return error
  const { code, failure } = classify(error, { during: 'source' })
  if (!isSourceCode(code)) return error
  const errno = (error as NodeJS.ErrnoException).code ?? ''
  const why = refuses === undefined ? failure.summary : `${refuses} may not be read by ${effectiveUser()}`
  return new SourceError(code, `source ${where}: ${why} (${errno})`, { cause: error })
}

function isSourceCode(code: FailureCode): code is SourceErrorCode {
  return code.startsWith('SOURCE_')
}
