import { appendAudit } from '@sealfleet/records/audit'
import type { Records } from '@sealfleet/records'

/**
 * Audits existing files that got a lost job again: one row for all of them, also when the command was stopped. (New
 * files get their row in the transaction that accepts them; jobs are in Redis, outside any transaction.)
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
