import { auditBacklog, sealAuditBatch, type Unsealed } from '@sealfleet/records/audit'
import type { Records } from '@sealfleet/records'

export interface ChainReport {
  /** Sealed now. */
  batches: number
  rows: number
  /** Rows that wait: for transactions in progress, or for the next run. */
  readonly waiting: Unsealed
}

/** Batches of one run: enough for the rows of a busy hour, and still bounded. */
const MOST_BATCHES = 500

/**
 * Chains new rows of the audit log: seals batches until no row is left that can be sealed. Never in the path of a
 * commit, safe in any number of processes at once. @throws RecordsError, the signal's reason
 */
export async function chainAudit(
  records: Records,
  options: { readonly signal?: AbortSignal | undefined; readonly batchRows?: number } = {},
): Promise<ChainReport> {
  let batches = 0
  let rows = 0
  while (batches < MOST_BATCHES) {
    options.signal?.throwIfAborted()
    const batch = await sealAuditBatch(records, options.batchRows)
    if (batch === undefined) break
    batches++
    rows += batch.rows
  }
  return { batches, rows, waiting: await auditBacklog(records) }
}
