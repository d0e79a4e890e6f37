import { auditCommitMismatches, joinCommitsWithAudit } from '@sealfleet/records/audit'
import type { Records } from '@sealfleet/records'

import type { Findings } from './findings.js'

const PAGE = 1_000
const FIRST_ID = '00000000-0000-0000-0000-000000000000'

const WHY = {
  gone: 'the records have no such attempt of that file',
  uncommitted: 'that attempt was never committed, as the records have it',
  changed: 'its object, tags or length are others in the records',
  deleted: 'an earlier event deleted that file forever',
  twice: 'an earlier event committed the same attempt already: someone put an old record back and wrote a row for it',
} as const

/**
 * Compares records and log both ways: the committed attempt of every stored file must match that file's last commit
 * event, and every commit event must have its attempt. This finds an old record that was put back together with its old
 * object, which the object alone cannot show.
 */
export async function compareRecords(
  records: Records,
  findings: Findings,
  options: { readonly signal?: AbortSignal | undefined; readonly onLooked?: ((n: number) => void) | undefined } = {},
): Promise<{ readonly files: number; readonly events: number }> {
  let files = 0
  for (let after: string | null = FIRST_ID; after !== null;) {
    options.signal?.throwIfAborted()
    const page = await auditCommitMismatches(records, { after, limit: PAGE })
    for (const { fileId, attemptId, eventId, eventAttemptId } of page.found) {
      const what =
        eventId === null
          ? `the log has no commit of it`
          : eventAttemptId === attemptId
            ? `event ${eventId} of the log describes attempt ${attemptId} otherwise`
            : `it is stored as attempt ${attemptId}, the log's last commit (event ${eventId}) is of ${eventAttemptId}`
      findings.add('record-mismatch', `file ${fileId}`, `file ${fileId}: ${what}`)
    }
    files += page.looked
    options.onLooked?.(files)
    after = page.looked < PAGE ? null : page.last
  }
  let events = 0
  for (let after: string | null = '0'; after !== null;) {
    options.signal?.throwIfAborted()
    const page = await joinCommitsWithAudit(records, { after, limit: PAGE })
    for (const { eventId, fileId, why } of page.found)
      if (why === 'key')
        findings.add(
          'key-mismatch',
          `key ${fileId}`,
          `event ${eventId} destroyed a key that the records do not know any more`,
        )
      else
        findings.add('event-mismatch', `file ${fileId}`, `event ${eventId} committed file ${fileId}, but ${WHY[why]}`)
    events += page.events
    options.onLooked?.(files + events)
    after = page.last
  }
  return { files, events }
}
