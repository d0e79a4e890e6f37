import { sweepDeleted } from '@sealfleet/maintenance'
import type { Records } from '@sealfleet/records'
import type { CommandContext } from '../../context.js'
import { describeError } from '../../describe-error.js'
import { openObjectStore } from '../../services/store.js'

/** The outcome for the objects of removed files. */
export interface ObjectsReport {
  readonly deleted: number
  readonly bytes: number
  /** Objects that the store keeps for now (object lock), and the first date at which one of them may go. */
  readonly locked: number
  readonly lockedUntil: Date | null
  /** Why the rest is left to the next sweep; null: nothing is. */
  readonly left: { readonly code: string; readonly message: string } | null
}

/**
 * Deletes the objects of DELETED files at once, by version, when the store can be reached. Otherwise the removal still
 * counts, since the records decide it, and the next sweep deletes them. Throws only the signal's reason.
 */
export async function removeObjects(
  context: CommandContext,
  records: Records,
  fileIds: readonly string[],
  onProgress: (files: number) => void,
): Promise<ObjectsReport> {
  const { signal } = context
  let deleted = 0
  let bytes = 0
  let locked = 0
  let lockedUntil: Date | null = null
  try {
    const store = await openObjectStore(context.settings.load(['s3']), { access: 'read-write', context })
    context.defer(() => store.close())
    for (const [i, fileId] of fileIds.entries()) {
      signal.throwIfAborted()
      const report = await sweepDeleted({ records, store }, fileId, { actor: `cli:${context.io.user}`, signal })
      deleted += report.objectsDeleted
      bytes += report.bytesDeleted
      locked += report.locked
      lockedUntil = earlier(lockedUntil, report.lockedUntil)
      onProgress(i + 1)
    }
    return { deleted, bytes, locked, lockedUntil, left: null }
  } catch (error) {
    signal.throwIfAborted()
    const { code, message } = describeError(error, 's3')
    return { deleted, bytes, locked, lockedUntil, left: { code, message } }
  }
}

function earlier(a: Date | null, b: Date | null): Date | null {
  return a === null || (b !== null && b < a) ? b : a
}
