import { batchIdFor, fileIdFor } from '@sealfleet/queue'
import { createBatch, fileStates, getBatch } from '@sealfleet/records/files'
import type { Records } from '@sealfleet/records'
import type { PlannedFile } from './requests.js'

/** Ids per statement. */
const PAGE = 1_000

/** The batch that the user named; created when it does not exist. */
export async function namedBatch(records: Records, nameOrId: string, createdBy: string): Promise<string> {
  const id = batchIdFor(nameOrId)
  const name = id === nameOrId.toLowerCase() ? {} : { name: nameOrId }
  await createBatch(records, { id, ...name, createdBy })
  return id
}

/**
 * The batch of files that one command enqueues without --batch, so that they have one progress and one report. Its id
 * is derived from theirs: the same command again, for example after a crash, finds the same batch. Files that were
 * accepted before stay in their own batch and are not counted here; undefined when fewer than two are left.
 */
export async function batchOfFiles(
  records: Records,
  planned: readonly PlannedFile[],
  createdBy: string,
): Promise<string | undefined> {
  const ids = planned.map(({ fileId }) => fileId).sort()
  const id = fileIdFor(['sealfleet batch of', ...ids].join('\0'))
  if ((await getBatch(records, id)) !== undefined) return id
  let expected = ids.length
  for (let at = 0; at < ids.length; at += PAGE) {
    expected -= (await fileStates(records, ids.slice(at, at + PAGE))).length
  }
  if (expected < 2) return undefined
  await createBatch(records, { id, expected, createdBy })
  return id
}
