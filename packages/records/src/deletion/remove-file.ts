import { Prisma } from '../generated/client.js'
import { domainFromUuid, uuid } from '../db/ids.js'
import { reasonOf } from '../db/reason.js'
import type { Records } from '../db/records.js'
import type { FileState } from '../db/terms.js'
import { activeHolds, type ActiveHold } from './active-holds.js'
import { appendAudit } from '../audit/append-audit.js'

/**
 * removed: the file is now DELETED, and its objects may be deleted. held: nothing was changed, holds forbid it.
 * deleted: the file was deleted before. not-stored: there is no stored file to remove; a queued or dead file is
 * discarded instead.
 */
export type RemovalOutcome =
  | { readonly outcome: 'removed' }
  | { readonly outcome: 'held'; readonly holds: readonly ActiveHold[] }
  | { readonly outcome: 'deleted' }
  | { readonly outcome: 'not-stored'; readonly state: FileState }
  | { readonly outcome: 'unknown' }

export interface RemovalInput {
  readonly fileId: string
  readonly actor: string
  /** The reason; 1 to 2,000 characters, for the audit log. */
  readonly reason: string
}

/**
 * STORED → DELETED on request, with its row in the audit log, in one transaction; the row stays as a tombstone. Holds
 * are checked under the domain's lock, so none is placed in between.
 * @throws RecordsError INVALID
 */
export async function removeFile(records: Records, input: RemovalInput): Promise<RemovalOutcome> {
  const id = uuid(input.fileId, 'the file id')
  const reason = reasonOf(input.reason)
  return records.transaction(async (tx) => {
    const look = Prisma.sql`SELECT state::text AS state, domain_id::text AS "domainId" FROM files WHERE id = ${id}::uuid`
    const [file] = await tx.query<{ state: FileState; domainId: string }>(look)
    if (file === undefined) return { outcome: 'unknown' }
    if (file.state === 'DELETED') return { outcome: 'deleted' }
    if (file.state !== 'STORED') return { outcome: 'not-stored', state: file.state }
    const holds = await activeHolds(tx, { domain: domainFromUuid(file.domainId), fileId: id })
    if (holds.length > 0) return { outcome: 'held', holds }
    const [gone] = await tx.query<{ attemptId: string }>(Prisma.sql`
      UPDATE files SET state = 'DELETED', deletion = 'REMOVED', deleted_at = clock_timestamp(), deleted_by = ${input.actor}
      WHERE id = ${id}::uuid AND state = 'STORED' RETURNING committed_attempt_id::text AS "attemptId"`)
    // Another process was faster: STORED can only become DELETED.
    if (gone === undefined) return { outcome: 'deleted' }
    const subject = { subjectKind: 'file', subjectId: id }
    await appendAudit(tx, { ...subject, actor: input.actor, action: 'files.remove', detail: { reason, ...gone } })
    return { outcome: 'removed' }
  })
}
