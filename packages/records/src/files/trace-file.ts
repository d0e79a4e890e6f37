import { uuid } from '../db/ids.js'
import type { Records } from '../db/records.js'
import { ATTEMPT_SELECT, attemptRow } from '../attempts/attempt-row.js'
import { fileRow } from './file-row.js'
import type { AttemptRow, AuditRow, DeadLetterRow, FailureRow, FileRow } from '../db/terms.js'
import { listAudit } from '../audit/append-audit.js'
import { listDeadLetters } from './dead-letters.js'
import { listFailures } from './failures.js'
import { isWhole, readWhole } from '../db/read-whole.js'

export interface FileTrace {
  readonly file: FileRow
  /** By attempt number; claims that opened no attempt are missing. */
  readonly attempts: readonly AttemptRow[]
  readonly failures: readonly FailureRow[]
  readonly deadLetters: readonly DeadLetterRow[]
  readonly audit: readonly AuditRow[]
}

/** The whole record of one file. Undefined when there is no such file. */
export async function traceFile(records: Records, id: string): Promise<FileTrace | undefined> {
  const where = { id: uuid(id, 'the file id') }
  const include = { attempts: { select: ATTEMPT_SELECT, orderBy: { attemptNo: 'asc' } } } as const
  const raw = await readWhole(
    () => records.read((prisma) => prisma.file.findUnique({ where, include })),
    (found) =>
      found === null ||
      isWhole(
        found,
        found.attempts.find(({ state, id }) => state === 'COMMITTED' && id === found.committedAttemptId),
      ),
  )
  if (raw === null) return undefined
  const [failures, deadLetters, audit] = await Promise.all([
    listFailures(records, id),
    listDeadLetters(records, { fileId: id, state: 'any', limit: 1_000 }),
    listAudit(records, { subjectKind: 'file', subjectId: id }),
  ])
  const { attempts, ...file } = raw
  return { file: fileRow(file), attempts: attempts.map(attemptRow), failures, deadLetters, audit }
}
