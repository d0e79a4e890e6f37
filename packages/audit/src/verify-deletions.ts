import { filesWithDeletions, type FileBesideDeletion } from '@sealfleet/records/audit'
import type { Records } from '@sealfleet/records'

import type { Findings } from './findings.js'

const PAGE = 1_000
const FIRST_ID = '00000000-0000-0000-0000-000000000000'

/**
 * Compares files and log on deletions: every deleted file must have an event that deleted it, in the same way; a file
 * that an event deleted must not be back; a committed file is stored until an event deletes it; and a stored file that
 * cannot be opened any more needs a destruction that gave files up.
 */
export async function compareDeletions(
  records: Records,
  findings: Findings,
  signal?: AbortSignal,
): Promise<{ readonly files: number }> {
  let files = 0
  for (let after: string | null = FIRST_ID; after !== null;) {
    signal?.throwIfAborted()
    const page = await filesWithDeletions(records, { after, limit: PAGE })
    for (const one of page.found) findings.add('deletion-mismatch', `file ${one.fileId}`, messageOf(one))
    files += page.looked
    after = page.looked < PAGE ? null : page.last
  }
  return { files }
}

function messageOf({ fileId, state, eventId, why }: FileBesideDeletion): string {
  const event = `event ${eventId ?? '?'} of the log`
  const what = {
    unexplained: `is DELETED, and the log does not say who deleted it`,
    otherwise: `was deleted by ${event} in another way than its record says`,
    back: `is ${state}, and ${event} deleted it: an old record was put back`,
    lost: `is ${state}, and ${event} committed it: nothing that is stored is ever anything else but stored or deleted`,
    key: 'is STORED under a key that is destroyed, and no destruction gave files up for it',
  } as const
  return `file ${fileId} ${what[why]}`
}
