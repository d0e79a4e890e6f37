import {
  getMasterKey,
  keysBesideEvents,
  listDestructions,
  type DestructionRow,
  type KeyBesideEvent,
} from '@sealfleet/records'

import { destructionCopy, DestructionUnproven, verifyDestructionRecord } from '../destroy/record.js'
import type { Findings } from './findings.js'
import type { AuditPorts } from './terms.js'

const WHY: Readonly<Record<KeyBesideEvent['why'], string>> = {
  unexplained: 'it is DESTROYED, and the log does not say that it was',
  unrecorded: 'the log says that it was destroyed, and there is no signed record of it',
  back: 'the log says that it was destroyed: an old record was put back',
}

/** Compares master keys with the log's destructions, and checks the MAC of each signed record. */
export async function compareKeys(
  { records, hsm }: Pick<AuditPorts, 'records' | 'hsm'>,
  findings: Findings,
  signal?: AbortSignal,
): Promise<{ readonly keys: number }> {
  const { looked, found } = await keysBesideEvents(records)
  for (const { label, state, why } of found)
    findings.add('key-mismatch', `key ${label}`, `key ${label} is ${state} in the records, but ${WHY[why]}`)
  for (const row of await listDestructions(records)) {
    signal?.throwIfAborted()
    const problem = await problemOf({ records, hsm }, row)
    if (problem !== undefined)
      findings.add('key-mismatch', `key ${row.label}`, `destruction of ${row.label}: ${problem}`)
  }
  return { keys: looked }
}

async function problemOf(
  { records, hsm }: Pick<AuditPorts, 'records' | 'hsm'>,
  { label, record, mac, auditKeyVersion }: DestructionRow,
): Promise<string | undefined> {
  if (record === null || mac === null || auditKeyVersion === null) return undefined
  const audit = await getMasterKey(records, { role: 'audit', domain: 'default', version: auditKeyVersion })
  if (audit === undefined) return `its record names audit key ${auditKeyVersion}, which is not registered`
  if (audit.checkValue !== null) hsm.expectCheckValue(audit, audit.checkValue)
  try {
    const verified = await verifyDestructionRecord(hsm, destructionCopy({ record, auditKeyVersion, mac }))
    return verified.label === label ? undefined : `its record is that of ${verified.label}`
  } catch (error) {
    if (error instanceof DestructionUnproven) return error.message
    throw error
  }
}
