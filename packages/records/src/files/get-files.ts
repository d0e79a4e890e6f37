import { uuid } from '../db/ids.js'
import type { Records } from '../db/records.js'
import { ATTEMPT_SELECT, attemptRow } from '../attempts/attempt-row.js'
import { isWhole, readWhole } from '../db/read-whole.js'
import { fileRow } from './file-row.js'
import type { ListedFile } from './list-files.js'

/** Ids per statement. */
const PAGE = 1_000

/** Files by their ids, as `listFiles` gives them; unknown ones are left out. */
export async function getFiles(records: Records, ids: readonly string[]): Promise<ReadonlyMap<string, ListedFile>> {
  const files = new Map<string, ListedFile>()
  for (let at = 0; at < ids.length; at += PAGE) {
    const page = ids.slice(at, at + PAGE).map((id) => uuid(id, 'the file id'))
    const rows = await readWhole(
      () =>
        records.read(({ file }) =>
          file.findMany({ where: { id: { in: page } }, include: { committedAttempt: { select: ATTEMPT_SELECT } } }),
        ),
      (found) => found.every((raw) => isWhole(raw, raw.committedAttempt)),
    )
    for (const { committedAttempt, ...raw } of rows) {
      const committed = committedAttempt === null ? null : attemptRow(committedAttempt)
      files.set(raw.id, { file: fileRow(raw), committed })
    }
  }
  return files
}
