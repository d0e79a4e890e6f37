import {
  addCheckpoint,
  lastAuditBatch,
  lastCheckpoint,
  listCheckpoints,
  markCheckpointStored,
  sealedRowCount,
  type CheckpointRow,
} from '@sealfleet/records/audit'
import { listMasterKeys } from '@sealfleet/records/keys'
import { RecordsError, type KeyRow, type Queryable } from '@sealfleet/records'

import { assertOwnBucket } from '@sealfleet/objects'
import { checkpointKey, encodeBody, macMessage, sha256Hex, type CheckpointBody } from './body.js'
import { listCopyNumbers, putCopy } from './copies.js'
import { AuditError, type AuditPorts } from './terms.js'

/** The head of a checkpoint, for an auditor to keep. */
export interface CheckpointHead {
  readonly no: number
  readonly batchNo: number
  readonly rows: number
  /** Of the batch, hex. */
  readonly hash: string
  /** Of the checkpoint's body, hex: `audit verify --expect NO:SHA256`. */
  readonly sha256: string
}

export interface CheckpointReport {
  /** The new checkpoint; null when the last one is still complete. */
  readonly made: CheckpointHead | null
  /** Copies written now, or found in the store. */
  stored: number
  /** Numbers whose place in the store holds another object: never overwritten, and a finding. */
  readonly differing: number[]
}

export interface CheckpointOptions {
  readonly signal?: AbortSignal | undefined
}

/** Given by `adoptAudit` alone: the store's checkpoint to continue from, and the request that is used up with it. */
export interface Adopting {
  readonly no: number
  readonly sha256: string
  readonly request: string
  /** Uses the request up; in the transaction that adds the checkpoint. */
  consume(tx: Queryable): Promise<void>
}

const UNSTORED = 100
const TRIES = 10

/**
 * Makes a checkpoint when the chain has grown since the last, and writes every missing copy to the store. The row is
 * written first: a failed copy is written the next time.
 *
 * @throws AuditError AUDIT_BEHIND: the store holds a later checkpoint than this database, which is older than it should
 * be; NO_ACTIVE_KEY: there is no audit key. FleetMismatchError, StoreError, RecordsError, HsmError, the signal's
 * reason.
 */
export async function checkpointAudit(ports: AuditPorts, options: CheckpointOptions = {}): Promise<CheckpointReport> {
  const { signal } = options
  await assertOwnBucket(ports, options)
  const made = await makeNext(ports, signal)
  return copyAll(ports, made, signal)
}

/**
 * If two processes make the same number, one is faster; the other checks again whether another checkpoint is needed.
 */
async function makeNext(ports: AuditPorts, signal: AbortSignal | undefined): Promise<CheckpointRow | null> {
  for (let tries = 1; ; tries++) {
    const last = await lastNotBehind(ports, signal)
    try {
      return await makeCheckpoint(ports, last, { signal })
    } catch (error) {
      if (!(error instanceof RecordsError) || error.code !== 'CONFLICT' || tries === TRIES) throw error
    }
  }
}

/**
 * Whether a log that has grown could be signed now. @throws AuditError as `checkpointAudit`; StoreError, RecordsError
 */
export async function assertSignable(ports: AuditPorts, options: CheckpointOptions = {}): Promise<void> {
  await assertOwnBucket(ports, options)
  await lastNotBehind(ports, options.signal)
  await activeAuditKey(ports.records)
}

async function lastNotBehind(
  { records, store }: Pick<AuditPorts, 'records' | 'store'>,
  signal: AbortSignal | undefined,
): Promise<CheckpointRow | undefined> {
  // In this order: a row is written before its copy, so another process's new checkpoint is not taken for a rollback.
  const highest = (await listCopyNumbers(store, signal)).at(-1) ?? 0
  const last = await lastCheckpoint(records)
  if (highest > (last?.no ?? 0)) throw behind(highest, last?.no ?? 0)
  return last
}

/** Writes every missing copy to the store. */
export async function copyAll(
  { records, store }: Pick<AuditPorts, 'records' | 'store'>,
  made: CheckpointRow | null,
  signal: AbortSignal | undefined,
): Promise<CheckpointReport> {
  const report: CheckpointReport = { made: made === null ? null : headOf(made), stored: 0, differing: [] }
  for (const row of await listCheckpoints(records, { after: 0, limit: UNSTORED, unstored: true })) {
    const outcome = await putCopy(store, row.no, row, signal)
    if (outcome === 'other') report.differing.push(row.no)
    else {
      await markCheckpointStored(records, row.no)
      report.stored++
    }
  }
  return report
}

/** Null when the chain has not grown since the last one and no checkpoint is adopted. */
export async function makeCheckpoint(
  { records, hsm }: AuditPorts,
  last: CheckpointRow | undefined,
  { signal, adopts }: CheckpointOptions & { readonly adopts?: Adopting },
): Promise<CheckpointRow | null> {
  const batch = await lastAuditBatch(records)
  if (batch === undefined || (adopts === undefined && batch.no === last?.batchNo)) return null
  const key = await activeAuditKey(records)
  const no = (adopts?.no ?? last?.no ?? 0) + 1
  const statement: CheckpointBody = {
    v: 1,
    no,
    batchNo: Number(batch.no),
    hash: batch.hash.toString('hex'),
    rows: await sealedRowCount(records, batch.no),
    at: new Date().toISOString(),
    previous: last === undefined ? null : sha256Hex(last.body),
    ...(adopts !== undefined && { adopts: { no: adopts.no, sha256: adopts.sha256 }, request: adopts.request }),
  }
  const body = encodeBody(statement)
  if (key.checkValue !== null) hsm.expectCheckValue(key, key.checkValue, key.knownAnswer)
  const mac = Buffer.from(await hsm.confirmed().hmac(key, macMessage(body), signal === undefined ? {} : { signal }))
  const storeKey = checkpointKey(no)
  const row = { no, batchNo: batch.no, body, auditKeyVersion: key.version, mac, storeKey }
  if (adopts === undefined) return addCheckpoint(records, row)
  return records.transaction(async (tx) => {
    await adopts.consume(tx)
    return addCheckpoint(tx, row)
  })
}

async function activeAuditKey(records: AuditPorts['records']): Promise<KeyRow> {
  const [key] = await listMasterKeys(records, { role: 'audit', state: 'ACTIVE' })
  if (key !== undefined) return key
  throw new AuditError('NO_ACTIVE_KEY', 'there is no active audit key', 'make one: sealfleet keys init --with-audit')
}

export function headOf({ body }: Pick<CheckpointRow, 'body'>): CheckpointHead {
  const { no, batchNo, rows, hash } = JSON.parse(body.toString('utf8')) as CheckpointBody
  return { no, batchNo, rows, hash, sha256: sha256Hex(body) }
}

function behind(stored: number, known: number): AuditError {
  const message = `the store holds checkpoint ${stored}, the database ends with ${known === 0 ? 'none' : known}: it was rolled back`
  return new AuditError('AUDIT_BEHIND', message)
}
