import { getMasterKey, listDestructions, type DestructionRow } from '@sealfleet/records/keys'
import { keysWithAudit, type KeyBesideEvent } from '@sealfleet/records/audit'
import { usedRequestProblem } from '@sealfleet/records/operators'
import type { Records } from '@sealfleet/records'

import { DESTROY_KIND } from '@sealfleet/keys'
import { checkSignatures } from '@sealfleet/keys'
import { destructionCopy, DestructionUnproven, verifyDestructionRecord } from '@sealfleet/keys'
import type { Findings } from './findings.js'
import type { AuditPorts } from './terms.js'

const WHY: Readonly<Record<KeyBesideEvent['why'], string>> = {
  unexplained: 'it is DESTROYED, and the log does not say that it was',
  unrecorded: 'the log says that it was destroyed, and there is no signed record of it',
  back: 'the log says that it was destroyed: an old record was put back',
}

/**
 * Compares master keys with the log's destructions, and checks each one carried out: the MAC of its record, the
 * operators' signatures in the record, that its row matches, and the request in the records with the signatures on it.
 */
export async function compareKeysWithLog(
  { records, hsm }: Pick<AuditPorts, 'records' | 'hsm'>,
  findings: Findings,
  signal?: AbortSignal,
): Promise<{ readonly keys: number }> {
  const { looked, found } = await keysWithAudit(records)
  for (const { label, state, why } of found)
    findings.add('key-mismatch', `key ${label}`, `key ${label} is ${state} in the records, but ${WHY[why]}`)
  for (const row of await listDestructions(records)) {
    signal?.throwIfAborted()
    if (row.carriedOutAt === null) continue
    const problems = [...(await recordProblems({ records, hsm }, row)), ...(await requestProblems(records, row))]
    for (const problem of problems)
      findings.add('key-mismatch', `key ${row.label}`, `destruction of ${row.label}: ${problem}`)
  }
  return { keys: looked }
}

async function recordProblems(
  { records, hsm }: Pick<AuditPorts, 'records' | 'hsm'>,
  { label, record, mac, auditKeyVersion, shred, requestId }: DestructionRow,
): Promise<readonly string[]> {
  if (record === null || mac === null || auditKeyVersion === null) return ['there is no signed record of it']
  const audit = await getMasterKey(records, { role: 'audit', domain: 'default', version: auditKeyVersion })
  if (audit === undefined) return [`its record names audit key ${auditKeyVersion}, which is not registered`]
  if (audit.checkValue !== null) hsm.expectCheckValue(audit, audit.checkValue, audit.knownAnswer)
  try {
    const verified = await verifyDestructionRecord(hsm, destructionCopy({ record, auditKeyVersion, mac }))
    if (verified.label !== label) return [`its record is that of ${verified.label}`]
    const { request } = verified.record
    const signed = typeof request === 'object' && request !== null && 'id' in request ? request.id : null
    return [
      ...checkSignatures(verified.record).problems,
      ...(verified.record['shred'] === shred
        ? []
        : ['its row says otherwise of the files that are given up than its record']),
      ...(requestId === null || requestId === signed ? [] : ['its row names another request than its record']),
    ]
  } catch (error) {
    if (error instanceof DestructionUnproven) return [error.message]
    throw error
  }
}

/**
 * The records have no request of a destruction restored from its record alone: the record has its bytes and signatures.
 */
async function requestProblems(records: Records, { requestId, keyId }: DestructionRow): Promise<readonly string[]> {
  if (requestId === null) return []
  const deed = { requestId, kind: DESTROY_KIND, subject: { kind: 'key', id: keyId } } as const
  const problem = await usedRequestProblem(records, deed)
  return problem === undefined ? [] : [problem]
}
