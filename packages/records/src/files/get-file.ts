import { RecordsError } from '../db/errors.js'
import { uuid } from '../db/ids.js'
import type { Records } from '../db/records.js'
import { COMMITTED_SELECT, committedAttempt } from '../attempts/attempt-row.js'
import { damaged } from '../rows/damaged.js'
import { fileRow } from './file-row.js'
import type { CommittedAttempt, FileRow } from '../db/terms.js'
import { isWhole, readWhole } from '../db/read-whole.js'

export interface FileWithObject {
  readonly file: FileRow
  /** The attempt to open; null while the file is not STORED. */
  readonly committed: CommittedAttempt | null
}

/**
 * A file and, when it is STORED, the fields that a reader needs to open its object. Undefined when there is no such
 * file.
 */
export async function getFile(records: Records, id: string): Promise<FileWithObject | undefined> {
  const where = { id: uuid(id, 'the file id') }
  const include = { committedAttempt: { select: COMMITTED_SELECT } } as const
  const raw = await readWhole(
    () => ofFile(id, () => records.read((prisma) => prisma.file.findUnique({ where, include }))),
    (found) => found === null || isWhole(found, found.committedAttempt),
  )
  if (raw === null) return undefined
  const { committedAttempt: attempt } = raw
  if (!isWhole(raw, attempt))
    throw damaged(id, 'files.committed_attempt_id', 'names a committed attempt that is not there')
  if (raw.state === 'STORED' && attempt === null)
    throw damaged(id, 'files.committed_attempt_id', 'has no value, and the file is STORED')
  return { file: fileRow(raw), committed: attempt === null ? null : committedAttempt(attempt) }
}

/** For a forbidden NULL, Prisma names the field and not the row. */
async function ofFile<T>(id: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read()
  } catch (error) {
    if (!(error instanceof RecordsError) || error.code !== 'RECORD_DAMAGED') throw error
    throw new RecordsError('RECORD_DAMAGED', `the record of file ${id} is damaged: ${error.message}`, { cause: error })
  }
}
