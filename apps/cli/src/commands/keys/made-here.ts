import { keyLabel, type MasterKeyRef } from '@sealfleet/format'
import { appendAudit, listAudit } from '@sealfleet/records/audit'
import type { Queryable } from '@sealfleet/records'
import { CliError } from '../../cli-error.js'
import { EXIT } from '../../exit-status.js'
import type { RolePlan } from './role-plan.js'

/**
 * Whether this fleet made a key that is in the token without a record: by a run that was stopped between making and
 * recording. Labels do not show the owner: two fleets with a domain `default` on one token use the same. So an audit
 * row announces each key before it is made.
 */
const ABOUT_TO_BE = { action: 'keys.begin', subjectKind: 'key-label' } as const

export async function noteBegun(db: Queryable, ref: MasterKeyRef, actor: string): Promise<void> {
  await appendAudit(db, { actor, ...ABOUT_TO_BE, subjectId: keyLabel(ref), detail: {} })
}

/** @throws FLEET_MISMATCH for a plan that would register a key of which this fleet never began to make one */
export async function assertMadeHere(db: Queryable, plans: readonly RolePlan[]): Promise<void> {
  for (const { ref, kind } of plans.flatMap(({ steps }) => steps)) {
    if (kind !== 'register') continue
    const subjectId = keyLabel(ref)
    const rows = await listAudit(db, { subjectKind: ABOUT_TO_BE.subjectKind, subjectId })
    if (rows.some(({ action }) => action === ABOUT_TO_BE.action)) continue
    throw new CliError('FLEET_MISMATCH', `the token holds ${subjectId}, and this fleet did not make it`, {
      exitStatus: EXIT.failed,
      fix:
        'give this fleet a token of its own. If the records of the fleet that made it are lost: `sealfleet recover`, or --adopt-keys. ' +
        'Two fleets must never share a key: what one destroys, the other loses',
    })
  }
}
