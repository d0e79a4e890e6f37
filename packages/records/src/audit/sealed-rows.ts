import type { ChainRow } from './audit-canonical.js'
import { Prisma } from '../generated/client.js'
import type { Queryable } from '../db/records.js'
import { CHAIN_COLUMNS } from './audit-batches.js'

/** A row that a batch sealed; `row` is null when the log no longer has it. */
export interface SealedRow {
  readonly auditId: string
  readonly batchNo: bigint
  readonly row: ChainRow | null
}

/** The rows of batches `from` to `to`, by batch and id. */
export async function listSealedRows(
  db: Queryable,
  batches: { readonly from: bigint; readonly to: bigint },
): Promise<SealedRow[]> {
  const rows = await db.query<
    ChainRow & { readonly id: string | null; readonly auditId: string; readonly batchNo: bigint }
  >(Prisma.sql`
    SELECT r.audit_id::text AS "auditId", r.batch_no AS "batchNo", ${CHAIN_COLUMNS}
    FROM audit_batch_rows r LEFT JOIN audit_log l ON l.id = r.audit_id
    WHERE r.batch_no BETWEEN ${batches.from}::bigint AND ${batches.to}::bigint ORDER BY r.batch_no, r.audit_id`)
  return rows.map(({ auditId, batchNo, ...row }) => ({ auditId, batchNo, row: row.id === null ? null : row }))
}
