import { uuid } from '../ids.js'
import type { Records } from '../records.js'
import { COMMITTED_SELECT, committedAttempt } from '../rows/attempt-row.js'
import { fileRow } from '../rows/file-row.js'
import type { CommittedAttempt, FileRow } from '../terms.js'

export interface FileWithObject {
  readonly file: FileRow
  /** The attempt to open; null while the file is not STORED. */
  readonly committed: CommittedAttempt | null
}

/** A file and, when it is STORED, what a reader needs to open its object. Undefined when there is no such file. */
export async function getFile(records: Records, id: string): Promise<FileWithObject | undefined> {
  const raw = await records.readSnapshot((prisma) =>
    prisma.file.findUnique({
      where: { id: uuid(id, 'the file id') },
      include: { committedAttempt: { select: COMMITTED_SELECT } },
    }),
  )
  if (raw === null) return undefined
  const { committedAttempt: attempt } = raw
  return { file: fileRow(raw), committed: attempt === null ? null : committedAttempt(attempt) }
}
