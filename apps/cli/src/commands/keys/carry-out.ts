import { keyLabel, type MasterKeyRef } from '@sealfleet/format'
import type { KeyAdmin, KeyListing } from '@sealfleet/hsm'
import { assertMayRegister, registerMasterKey, type KeyRegistration } from '@sealfleet/records/keys'
import { appendAudit } from '@sealfleet/records/audit'
import { recoverMasterKey } from '@sealfleet/records/recovery'
import type { KeyRow, Records } from '@sealfleet/records'
import { CliError } from '../../cli-error.js'
import { EXIT } from '../../exit-status.js'
import { registrationOf } from './adopt.js'
import { noteBegun } from './made-here.js'
import type { KeyStep } from '@sealfleet/keys'

/** A step of the first phase: all but activating (two-phase.ts). */
type Preparation = Exclude<KeyStep, { readonly kind: 'activate' }>

/**
 * Carries out one step and writes the key's record with its audit row; returns the key's row as it is afterwards.
 * `there` needs no work. Token first, records second: the next run finds a key without a record, but a record without a
 * key would be false.
 */
export async function carryOut(
  step: Preparation,
  o: { records: Records; admin: KeyAdmin; token: readonly KeyListing[]; actor: string },
): Promise<KeyRow | undefined> {
  if (step.kind === 'there') return undefined
  await assertMayRegister(o.records)
  if (step.kind === 'generate') await noteBegun(o.records, step.ref, o.actor)
  const registration = await (step.kind === 'generate' ? generate(step.ref, o.admin) : registrationOf(step.ref, o))
  return o.records.transaction(async (tx) => {
    const state = step.kind === 'register' ? step.state : 'PENDING'
    const { key } = await (state === 'PENDING'
      ? registerMasterKey(tx, registration)
      : recoverMasterKey(tx, { ...registration, state }))
    const detail = {
      label: key.label,
      checkValue: key.checkValue?.toString('hex') ?? null,
      knownAnswer: key.knownAnswer?.toString('hex') ?? null,
    }
    const subject = { subjectKind: 'key', subjectId: key.id }
    await appendAudit(tx, { actor: o.actor, action: `keys.${step.kind}`, ...subject, detail })
    return key
  })
}

async function generate(ref: MasterKeyRef, admin: KeyAdmin): Promise<KeyRegistration> {
  const { record, kcv, answer, ref: _ref, ...evidence } = await admin.generate(ref)
  const twins = (await admin.list()).filter(({ label }) => label === keyLabel(ref))
  if (twins.length > 1) {
    const ids = twins.map(({ ckaId }) => ckaId).join(' and ')
    const message = `${keyLabel(ref)} was made twice, as CKA_ID ${ids}: two runs at the same time`
    throw new CliError('KEY_MISMATCH', message, {
      exitStatus: EXIT.key,
      fix: 'remove one of the two; neither was ever used',
    })
  }
  return {
    ref,
    ...(kcv === null ? {} : { checkValue: Buffer.from(kcv, 'hex') }),
    ...(record === null ? {} : { checkRecord: Buffer.from(record, 'hex') }),
    ...(answer === null ? {} : { knownAnswer: Buffer.from(answer, 'hex') }),
    evidence: { ...evidence, kcv },
  }
}
