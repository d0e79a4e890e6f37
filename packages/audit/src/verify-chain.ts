import {
  batchHash,
  FIRST_PREVIOUS,
  listAuditBatches,
  listSealedRows,
  rowsDigest,
  type AuditBatchRow,
  type SealedRow,
} from '@sealfleet/records/audit'
import type { Records } from '@sealfleet/records'

import type { Findings } from './findings.js'

const PAGE = 20

export interface ChainWalk {
  readonly batches: number
  readonly rows: number
  /** Facts for checking checkpoints: the hash of a batch (hex) and the rows up to it. */
  at(batchNo: number): { readonly hash: string; readonly rows: number } | undefined
}

/**
 * Recomputes every batch from the rows of the log. A wrong batch is reported, and the walk continues from the hash in
 * the table, so that one changed row is one finding.
 */
export async function walkChain(
  records: Records,
  findings: Findings,
  options: {
    /** Batches that checkpoints name; only these are remembered. */
    readonly wanted: ReadonlySet<number>
    readonly signal?: AbortSignal | undefined
    readonly onRows?: ((n: number) => void) | undefined
  },
): Promise<ChainWalk> {
  const remembered = new Map<number, { readonly hash: string; readonly rows: number }>()
  let previous: Buffer = FIRST_PREVIOUS
  let no = 0n
  let rows = 0
  let batches = 0
  for (;;) {
    options.signal?.throwIfAborted()
    const page = await listAuditBatches(records, { after: no, limit: PAGE })
    const [first, last] = [page[0], page.at(-1)]
    if (first === undefined || last === undefined) break
    const sealed = byBatch(await listSealedRows(records, { from: first.no, to: last.no }))
    for (const batch of page) {
      if (batch.no !== no + 1n)
        findings.add('batch-missing', `batch ${no + 1n}`, `batches ${no + 1n} to ${batch.no - 1n} are gone`)
      else if (!batch.previous.equals(previous))
        findings.add('batch-changed', `batch ${batch.no}`, `batch ${batch.no} does not follow on batch ${no}`)
      checkBatch(batch, sealed.get(batch.no) ?? [], findings)
      no = batch.no
      previous = batch.hash
      rows += batch.rows
      batches++
      if (options.wanted.has(Number(no))) remembered.set(Number(no), { hash: batch.hash.toString('hex'), rows })
    }
    options.onRows?.(rows)
  }
  return { batches, rows, at: (batchNo) => remembered.get(batchNo) }
}

function byBatch(rows: readonly SealedRow[]): ReadonlyMap<bigint, readonly SealedRow[]> {
  const batches = new Map<bigint, SealedRow[]>()
  for (const row of rows) {
    const own = batches.get(row.batchNo)
    if (own === undefined) batches.set(row.batchNo, [row])
    else own.push(row)
  }
  return batches
}

function checkBatch(batch: AuditBatchRow, sealed: readonly SealedRow[], findings: Findings): void {
  const { no } = batch
  const range = `rows ${sealed[0]?.auditId ?? '?'} to ${sealed.at(-1)?.auditId ?? '?'}`
  const rows = sealed.flatMap(({ row }) => (row === null ? [] : [row]))
  const gone = sealed.filter(({ row }) => row === null)
  for (const { auditId } of gone) findings.add('row-removed', `row ${auditId}`, `row ${auditId} of batch ${no} is gone`)
  if (sealed.length < batch.rows)
    findings.add('row-removed', `batch ${no}`, `batch ${no} sealed ${batch.rows} rows, ${sealed.length} are left of it`)
  else if (sealed.length > batch.rows)
    findings.add('row-added', `batch ${no}`, `batch ${no} sealed ${batch.rows} rows and has ${sealed.length} now`)
  else if (gone.length === 0 && !rowsDigest(rows).equals(batch.rowsDigest))
    findings.add('row-changed', `batch ${no}`, `a row of batch ${no} was changed or exchanged: one of ${range}`)
  if (!batchHash(batch).equals(batch.hash))
    findings.add('batch-changed', `batch ${no}`, `the hash of batch ${no} is not that of its content`)
}
