/** Why a source could not be read. The names are entries of the closed list of failure codes (packages/jobs). */
export type SourceErrorCode =
  | 'SOURCE_MISSING'
  | 'SOURCE_NOT_REGULAR'
  | 'SOURCE_OUTSIDE_ROOT'
  | 'SOURCE_TOO_LARGE'
  | 'SOURCE_BUSY'
  | 'SOURCE_IO'
  | 'SOURCE_CHANGED'

/** A source that can't be read as asked. The message names root and relative path, never the absolute path. */
export class SourceError extends Error {
  override readonly name = 'SourceError'
  readonly code: SourceErrorCode

  constructor(code: SourceErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.code = code
  }
}

const BY_ERRNO: Readonly<Record<string, SourceErrorCode>> = {
  ENOENT: 'SOURCE_MISSING',
  ENOTDIR: 'SOURCE_MISSING',
  ENAMETOOLONG: 'SOURCE_MISSING',
  ELOOP: 'SOURCE_NOT_REGULAR', // O_NOFOLLOW met a symbolic link
  EISDIR: 'SOURCE_NOT_REGULAR',
  ENXIO: 'SOURCE_NOT_REGULAR', // a socket, or a FIFO without a writer
  ENODEV: 'SOURCE_NOT_REGULAR',
  EBUSY: 'SOURCE_BUSY',
  EAGAIN: 'SOURCE_BUSY',
  ETXTBSY: 'SOURCE_BUSY',
  EMFILE: 'SOURCE_BUSY', // our own limit: a later try may find a free descriptor
  ENFILE: 'SOURCE_BUSY',
  EACCES: 'SOURCE_IO',
  EPERM: 'SOURCE_IO',
  EIO: 'SOURCE_IO',
  ESTALE: 'SOURCE_IO',
}

const MEANING: Readonly<Record<SourceErrorCode, string>> = {
  SOURCE_MISSING: 'does not exist',
  SOURCE_NOT_REGULAR: 'is not a regular file',
  SOURCE_OUTSIDE_ROOT: 'leads out of its root',
  SOURCE_TOO_LARGE: 'is larger than the store can keep',
  SOURCE_BUSY: 'is busy',
  SOURCE_IO: 'could not be read',
  SOURCE_CHANGED: 'changed while it was read',
}

/** Turns a file-system error about `where` into a SourceError; anything without an errno passes through unchanged. */
export function sourceErrorFrom(error: unknown, where: string): unknown {
  if (error instanceof SourceError || !(error instanceof Error)) return error
  const errno = (error as NodeJS.ErrnoException).code
  if (typeof errno !== 'string' || !/^E[A-Z0-9]+$/.test(errno)) return error
  const code = BY_ERRNO[errno] ?? 'SOURCE_IO'
  return new SourceError(code, `source ${where} ${MEANING[code]} (${errno})`, { cause: error })
}
