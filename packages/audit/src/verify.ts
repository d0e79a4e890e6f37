import { unsealedAudit, type Unsealed } from '@sealfleet/records/audit'

import { checkAnchor, type Anchor } from './anchor.js'
import { headOf, type CheckpointHead } from './checkpoint.js'
import { Findings, type AuditFinding } from './findings.js'
import type { AuditPorts } from './terms.js'
import { walkChain } from './verify-chain.js'
import { checkCheckpoints, checkCopies, readCheckpoints } from './verify-checkpoints.js'
import { compareDeletions } from './verify-deletions.js'
import { compareKeysWithLog } from './verify-keys.js'
import { compareOperators } from './verify-operators.js'
import { compareRecords } from './verify-records.js'
import { compareShreddings } from './verify-shreddings.js'

export interface AuditReport {
  readonly batches: number
  readonly rows: number
  /** In no batch yet: these rows are not protected so far. */
  readonly unsealed: Unsealed
  readonly checkpoints: number
  readonly copies: number
  /** Checkpoints found only in the store, adopted by a signed request after an older database was restored. */
  readonly adopted: readonly number[]
  readonly files: number
  readonly events: number
  /** Master keys, each compared with the log's destructions. */
  readonly keys: number
  /** The last checkpoint, for the auditor to keep. Null before the first. */
  readonly head: CheckpointHead | null
  /** The first two hundred. */
  readonly findings: readonly AuditFinding[]
  readonly found: number
}

export interface AuditVerifyOptions {
  /** Checkpoints that the auditor kept elsewhere. */
  readonly anchors?: readonly Anchor[]
  /** Rows that wait longer than this are a finding. Default 900 s. */
  readonly unsealedSeconds?: number
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((looked: number) => void) | undefined
}

/**
 * Checks the whole log: the chain from its rows, every checkpoint's MAC and order, every copy in the store, the
 * auditor's anchors, records against events, and the signatures behind shreddings, destructions and enrolments. Reads
 * the database and the store and uses the audit key; writes nothing.
 * @throws RecordsError, StoreError, HsmError, the signal's reason; a fault of the log is a finding
 */
export async function verifyAudit(ports: AuditPorts, options: AuditVerifyOptions = {}): Promise<AuditReport> {
  const { signal, onProgress, unsealedSeconds = 900 } = options
  const findings = new Findings()
  // Checkpoints first: rows sealed and signed meanwhile can only make the chain longer than they state.
  const known = await readCheckpoints(ports)
  const wanted = new Set(known.map(({ row }) => Number(row.batchNo)))
  const chain = await walkChain(ports.records, findings, { wanted, signal, onRows: onProgress })
  await checkCheckpoints(ports, known, chain, findings, signal)
  const { copies, adopted } = await checkCopies(ports, known, findings, signal)
  for (const anchor of options.anchors ?? []) checkAnchor(anchor, known, findings)
  const { files, events } = await compareRecords(ports.records, findings, {
    signal,
    onLooked: (n) => onProgress?.(chain.rows + n),
  })
  await compareDeletions(ports.records, findings, signal)
  await compareShreddings(ports.records, findings, signal)
  await compareOperators(ports.records, findings, signal)
  const { keys } = await compareKeysWithLog(ports, findings, signal)
  const unsealed = await unsealedAudit(ports.records)
  const { rows, oldestSeconds } = unsealed
  if (oldestSeconds !== null && oldestSeconds > unsealedSeconds)
    findings.add('unsealed-old', 'log', `${rows} rows are in no batch, the oldest for ${Math.round(oldestSeconds)} s`)
  const last = known.findLast(({ body }) => body !== undefined)
  return {
    batches: chain.batches,
    rows: chain.rows,
    unsealed,
    checkpoints: known.length,
    copies,
    adopted,
    files,
    events,
    keys,
    head: last === undefined ? null : headOf(last.row),
    findings: findings.list,
    found: findings.found,
  }
}
