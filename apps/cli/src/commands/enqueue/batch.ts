import { batchIdFor, fileIdFor } from '@sealfleet/queue'
import { createBatch, fileStates, getBatch } from '@sealfleet/records/files'
import type { Records } from '@sealfleet/records'
import type { PlannedFile } from './requests.js'

/** Ids asked about by one statement. */
const PAGE = 1_000

/** The batch that the user named, made if need be. */
export async function namedBatch(records: Records, nameOrId: string, createdBy: string): Promise<string> {
  const id = batchIdFor(nameOrId)
  const name = id === nameOrId.toLowerCase() ? {} : { name: nameOrId }
  await createBatch(records, { id, ...name, createdBy })
  return id
}

/**
 * The batch of files that were asked for together without a name for it, so that they have one progress and one report. Its
 * id follows from theirs: the same command again, as after a crash half-way, finds the same batch. Files that were accepted
 * before stay in the batch they came with and are not expected here; undefined when fewer than two are left.
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
