import { consumeRequest, getOperator } from '@sealfleet/records/operators'
import { lastCheckpoint, listAudit } from '@sealfleet/records/audit'
import type { Queryable } from '@sealfleet/records'

import { assertOwnBucket } from '@sealfleet/objects'
import { sha256Hex } from './body.js'
import { copyAll, makeCheckpoint, type CheckpointReport } from './checkpoint.js'
import { listCopyNumbers, readCheckpointCopy } from './copies.js'
import { AuditError, type AuditPorts } from './terms.js'

/**
 * The signed detail of an adoption of an older database: which checkpoint of the store it lacks, and where it ends
 * itself.
 */
export type AdoptionDetail = {
  readonly reason: string
  readonly no: number
  readonly sha256: string
  readonly database: number
}

export const ADOPTION = { kind: 'audit.adopt', subject: { kind: 'audit', id: 'chain' } } as const

/**
 * The adoption that is possible now.
 * @throws AuditError AUDIT_BROKEN when the store's last copy is invalid; BAD_STATE when the database is not behind the
 * store
 */
export async function adoptionDetail(ports: AuditPorts, reason: string, signal?: AbortSignal): Promise<AdoptionDetail> {
  const database = (await lastCheckpoint(ports.records))?.no ?? 0
  const no = (await listCopyNumbers(ports.store, signal)).at(-1) ?? 0
  if (no <= database)
    throw new AuditError(
      'BAD_STATE',
      `the database is not behind the store: it ends with checkpoint ${database}, the store with ${no}`,
      'nothing is to be done: maintenance goes on signing',
    )
  const copy = await readCheckpointCopy(ports.store, no, signal)
  if (copy === undefined || copy === null)
    throw new AuditError('AUDIT_BROKEN', `what lies in the store as checkpoint ${no} is none`)
  return { reason, no, sha256: sha256Hex(copy.body), database }
}

/**
 * Continues from a restored older database: makes a checkpoint above the store's last one, which names that one and the
 * request. The request must have been made for exactly this, and be signed by at least an officer and an auditor; it is
 * used up in the same transaction. The missing rows are a gap that `audit verify` reports permanently.
 * @throws AuditError as adoptionDetail, or BAD_STATE without an auditor's signature; RecordsError as consumeRequest
 */
export async function adoptAudit(
  ports: AuditPorts,
  input: { readonly request: string; readonly reason: string; readonly actor: string; readonly signal?: AbortSignal },
): Promise<CheckpointReport> {
  const { request, reason, actor, signal } = input
  await assertOwnBucket(ports, { signal })
  const detail = await adoptionDetail(ports, reason, signal)
  const consume = async (tx: Queryable): Promise<void> => {
    await consumeRequest(tx, { id: request, ...ADOPTION, consumedBy: actor, detail })
    await assertBothRoles(tx, request)
  }
  const last = await lastCheckpoint(ports.records)
  const { no, sha256 } = detail
  const made = await makeCheckpoint(ports, last, { signal, adopts: { no, sha256, request, consume } })
  if (made === null) throw new AuditError('BAD_STATE', 'nothing of the log is chained yet')
  return copyAll(ports, made, signal)
}

/** The row that using the request left names the operators whose signatures counted. */
async function assertBothRoles(tx: Queryable, request: string): Promise<void> {
  const rows = await listAudit(tx, { subjectKind: 'request', subjectId: request })
  const detail = rows.findLast(({ action }) => action === 'requests.use')?.detail
  const names = (detail as { readonly signedBy?: readonly string[] } | undefined)?.signedBy ?? []
  const roles = new Set<string | undefined>()
  for (const name of names) roles.add((await getOperator(tx, name))?.role)
  if (!roles.has('officer') || !roles.has('auditor'))
    throw new AuditError(
      'BAD_STATE',
      `request ${request} must be signed by an officer and an auditor; it was by ${names.join(' and ')}`,
    )
}
