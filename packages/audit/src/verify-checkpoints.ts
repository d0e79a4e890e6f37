import { getMasterKey } from '@sealfleet/records/keys'
import { listCheckpoints, type CheckpointRow } from '@sealfleet/records/audit'
import { timingSafeEqual } from 'node:crypto'

import { decodeBody, macMessage, sha256Hex, type CheckpointBody, type CheckpointCopy } from './body.js'
import { listCopyNumbers, readCheckpointCopy } from './copies.js'
import type { Findings } from './findings.js'
import type { AuditPorts } from './terms.js'
import type { ChainWalk } from './verify-chain.js'

/** A checkpoint of the database with its content; undefined for an invalid body. */
export interface KnownCheckpoint {
  readonly row: CheckpointRow
  readonly body: CheckpointBody | undefined
}

const PAGE = 500

export async function readCheckpoints({ records }: Pick<AuditPorts, 'records'>): Promise<readonly KnownCheckpoint[]> {
  const known: KnownCheckpoint[] = []
  for (;;) {
    const page = await listCheckpoints(records, { after: known.at(-1)?.row.no ?? 0, limit: PAGE })
    known.push(...page.map((row) => ({ row, body: decodeBody(row.body) })))
    if (page.length < PAGE) return known
  }
}

/** Checks MAC and order of every checkpoint, and that the batch it names is unchanged. */
export async function checkCheckpoints(
  ports: AuditPorts,
  known: readonly KnownCheckpoint[],
  chain: ChainWalk,
  findings: Findings,
  signal?: AbortSignal,
): Promise<void> {
  let before: KnownCheckpoint | undefined
  for (const { row, body } of known) {
    const subject = `checkpoint ${row.no}`
    if (body === undefined || body.no !== row.no || BigInt(body.batchNo) !== row.batchNo) {
      findings.add('checkpoint-changed', subject, `the body of ${subject} is not one of its number`)
    } else {
      await checkMac(ports, row, subject, findings, signal)
      checkOrder(row, body, before, findings)
      const batch = chain.at(body.batchNo)
      if (batch === undefined)
        findings.add('batch-missing', `batch ${body.batchNo}`, `batch ${body.batchNo}, which ${subject} names, is gone`)
      else if (batch.hash !== body.hash || batch.rows !== body.rows)
        findings.add(
          'batch-changed',
          `batch ${body.batchNo}`,
          `batch ${body.batchNo} is not the one that ${subject} names`,
        )
    }
    before = { row, body }
  }
}

function checkOrder(
  row: CheckpointRow,
  body: CheckpointBody,
  before: KnownCheckpoint | undefined,
  findings: Findings,
): void {
  const subject = `checkpoint ${row.no}`
  const expected = (body.adopts?.no ?? before?.row.no ?? 0) + 1
  if (row.no !== expected)
    findings.add('checkpoint-missing', `checkpoint ${expected}`, `checkpoints ${expected} to ${row.no - 1} are gone`)
  const previous = before === undefined ? null : sha256Hex(before.row.body)
  if (body.previous !== previous)
    findings.add('checkpoint-order', subject, `${subject} does not follow on the one before`)
}

/** Whether the audit key made this MAC. A key that is not registered or not in the HSM is a finding. */
async function checkMac(
  { records, hsm }: AuditPorts,
  copy: CheckpointCopy,
  subject: string,
  findings: Findings,
  signal?: AbortSignal,
): Promise<boolean> {
  const key = await getMasterKey(records, { role: 'audit', domain: 'default', version: copy.auditKeyVersion })
  if (key === undefined) {
    findings.add('key-unknown', subject, `${subject} names audit key ${copy.auditKeyVersion}, which is not registered`)
    return false
  }
  if (key.checkValue !== null) hsm.expectCheckValue(key, key.checkValue, key.knownAnswer)
  const mac = await hsm.hmac(key, macMessage(copy.body), signal === undefined ? {} : { signal })
  if (copy.mac.length === mac.length && timingSafeEqual(mac, copy.mac)) return true
  findings.add('checkpoint-forged', subject, `the MAC of ${subject} is not the audit key's`)
  return false
}

export interface CopyCount {
  readonly copies: number
  /** Checkpoints found only in the store that a later one adopted: a database was restored, by a signed request. */
  readonly adopted: readonly number[]
}

/** Compares the copies in the store with the checkpoints of the database, both ways. */
export async function checkCopies(
  ports: AuditPorts,
  known: readonly KnownCheckpoint[],
  findings: Findings,
  signal?: AbortSignal,
): Promise<CopyCount> {
  const numbers = await listCopyNumbers(ports.store, signal)
  const rows = new Map(known.map(({ row }) => [row.no, row]))
  const adoptions = known.flatMap(({ body }) => (body?.adopts === undefined ? [] : [body.adopts]))
  const adopted: number[] = []
  for (const no of numbers) {
    const subject = `copy ${no}`
    const copy = await readCheckpointCopy(ports.store, no, signal)
    const row = rows.get(no)
    if (copy === undefined) continue
    if (copy === null) findings.add('copy-differs', subject, `what lies in the store as ${subject} is no checkpoint`)
    else if (row === undefined) {
      if (adoptions.some((adoption) => adoption.no >= no)) adopted.push(no)
      else if (await checkMac(ports, copy, subject, findings, signal))
        findings.add(
          'database-behind',
          subject,
          `the store has checkpoint ${no}, the database does not: it was rolled back`,
        )
      const named = adoptions.find((adoption) => adoption.no === no)
      if (named !== undefined && named.sha256 !== sha256Hex(copy.body))
        findings.add('copy-differs', subject, `${subject} is not the one that was adopted`)
    } else if (!same(copy, row))
      findings.add('copy-differs', subject, `${subject} is not checkpoint ${no} of the database`)
  }
  const there = new Set(numbers)
  for (const { row } of known)
    if (row.storedAt !== null && !there.has(row.no))
      findings.add(
        'copy-missing',
        `copy ${row.no}`,
        `checkpoint ${row.no} was in the store and is gone: it was rolled back`,
      )
  for (const { no } of adoptions)
    if (!there.has(no))
      findings.add('copy-missing', `copy ${no}`, `copy ${no}, which was adopted, is gone from the store`)
  return { copies: numbers.length, adopted }
}

function same(copy: CheckpointCopy, row: CheckpointRow): boolean {
  return copy.body.equals(row.body) && copy.mac.equals(row.mac) && copy.auditKeyVersion === row.auditKeyVersion
}
