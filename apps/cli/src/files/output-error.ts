import { effectiveUser, isDenied, refusesWriting } from '@sealfleet/failures'
import { CliError } from '../cli-error.js'
import { EXIT } from '../exit-status.js'
import { printable } from '../output/printable.js'
import { errnoOf } from './errno.js'

/** Disk full, read-only, no rights: with the path, which is the user's own, and the folder and user of missing rights. Other errors pass unchanged. */
export function outputError(error: unknown, final: string): unknown {
  const errno = errnoOf(error)
  if (errno === undefined) return error
  const fix = 'make room or correct the permissions of the folder, or choose another place with -o'
  const refuses = isDenied(error) ? refusesWriting(final) : undefined
  const why = refuses === undefined ? '' : `: ${printable(refuses)} may not be written by ${printable(effectiveUser())}`
  return new CliError('OUTPUT_IO', `${final} could not be written${why} (${errno})`, {
    exitStatus: EXIT.failed,
    fix,
    cause: error,
  })
}

export function unsafeOutput(message: string): CliError {
  return new CliError('OUTPUT_UNSAFE', message, {
    exitStatus: EXIT.failed,
    fix: 'choose with -o a folder that only you can write to',
  })
}

/** Failures that every other file of the run would have, too: no room, no descriptors, a read-only disk. */
const FOR_ALL: Readonly<Record<string, string>> = {
  ENOSPC: 'no space is left there',
  EDQUOT: 'your quota there is used up',
  EROFS: 'the file system there is read-only',
  EMFILE: 'this process cannot open more files',
  ENFILE: 'the system cannot open more files',
}

/** Why writing more files is pointless; undefined for a failure of one file alone. */
export function whyAllFail(error: unknown): string | undefined {
  const errno = errnoOf(error) ?? (error instanceof CliError ? errnoOf(error.cause) : undefined)
  return errno === undefined ? undefined : FOR_ALL[errno]
}
