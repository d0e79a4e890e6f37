import { toFileId } from '@sealfleet/jobs'
import { missingError } from '../cli-error.js'

/** The file id that a user means: a UUID, or the foreign id the file was enqueued with (`--id`). */
export function fileIdOf(given: string): string {
  return toFileId(given)
}

export function noSuchFile(given: string, fileId: string): Error {
  const also = given.toLowerCase() === fileId ? '' : ` (as a foreign id: ${fileId})`
  return missingError('NOT_FOUND', `no file has the id ${given}${also}`, 'see `sealfleet list`')
}
