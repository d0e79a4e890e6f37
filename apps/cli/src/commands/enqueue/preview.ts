import { requestFingerprint } from '@sealfleet/queue'
import { fileStates, getFile } from '@sealfleet/records/files'
import type { Records } from '@sealfleet/records'
import type { FileReport } from './report.js'
import type { PlannedFile } from './requests.js'

/** Ids per statement. */
const PAGE = 1_000

/** What enqueueing would report for each file; nothing is accepted. */
export async function preview(
  records: Records,
  planned: readonly PlannedFile[],
  o: { readonly idWasGiven: boolean; readonly signal: AbortSignal },
): Promise<readonly FileReport[]> {
  const states = new Map<string, string>()
  for (let at = 0; at < planned.length; at += PAGE) {
    o.signal.throwIfAborted()
    const ids = planned.slice(at, at + PAGE).map(({ fileId }) => fileId)
    for (const { fileId, state } of await fileStates(records, ids)) states.set(fileId, state)
  }
  const reports: FileReport[] = []
  for (const file of planned) {
    const { fileId, shown, root, path: relativePath, size } = file
    const about = { path: shown, root, relativePath, size, fileId }
    // An id derived here covers the whole request: no other request can have it.
    const taken = o.idWasGiven && states.has(fileId) && (await isAnother(records, file))
    if (taken) reports.push({ ...about, outcome: 'conflict', code: 'REQUEST_CONFLICT' })
    else reports.push({ ...about, outcome: outcomeOf(states.get(fileId)) })
  }
  return reports
}

function outcomeOf(state: string | undefined): string {
  if (state === undefined) return 'would be enqueued'
  return state === 'QUEUED' || state === 'RUNNING' ? 'already-queued' : state.toLowerCase()
}

async function isAnother(records: Records, { fileId, request }: PlannedFile): Promise<boolean> {
  const { domain = 'default', root, path, context = new Uint8Array() } = request
  const asked = requestFingerprint({ domain, root, path, context })
  return (await getFile(records, fileId))?.file.fingerprint.equals(asked) === false
}
