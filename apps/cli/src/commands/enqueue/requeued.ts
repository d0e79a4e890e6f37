import { appendAudit } from '@sealfleet/records/audit'
import type { Records } from '@sealfleet/records'

/**
 * Files that were there and got the job that they had lost: one row for all of them, also of a command that was stopped. (Files that are new
 * have theirs from the transaction that accepts them; this is Redis's, which has none.)
 */
export async function auditRequeued(
  records: Records,
  o: {
    readonly actor: string
    readonly domain: string
    readonly batchId: string | undefined
    readonly files: number
    readonly first: string | undefined
  },
): Promise<void> {
  if (o.files === 0 || o.first === undefined) return
  const subject =
    o.batchId === undefined
      ? { subjectKind: 'file', subjectId: o.first }
      : { subjectKind: 'batch', subjectId: o.batchId }
  const detail = { files: o.files, domain: o.domain }
  await appendAudit(records, { actor: o.actor, action: 'files.requeue', ...subject, detail })
}
