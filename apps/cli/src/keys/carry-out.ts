import { keyLabel, type KeyAdmin, type KeyListing } from '@sealfleet/hsm'
import {
  assertMayRegister,
  appendAudit,
  recoverMasterKey,
  registerMasterKey,
  type KeyRow,
  type MasterKeyRef,
  type Records,
} from '@sealfleet/records'
import { CliError } from '../cli-error.js'
import { EXIT } from '../exit-status.js'
import { registrationOf } from './adopt.js'
import type { KeyStep } from './plan.js'

/** A step of the first phase: all but activating (two-phase.ts). */
type Preparation = Exclude<KeyStep, { readonly kind: 'activate' }>

/** Carries out one step; returns the row of its key as it is afterwards. `there` has nothing to carry out. */
export async function carryOut(
  step: Preparation,
  o: { records: Records; admin: KeyAdmin; token: readonly KeyListing[]; actor: string },
): Promise<KeyRow | undefined> {
  const row = await perform(step, o)
  if (row !== undefined) {
    const { label, checkValue } = row
    const detail = { label, checkValue: checkValue?.toString('hex') ?? null }
    const subject = { subjectKind: 'key', subjectId: row.id }
    await appendAudit(o.records, { actor: o.actor, action: `keys.${step.kind}`, ...subject, detail })
  }
  return row
}

async function perform(
  step: Preparation,
  o: { records: Records; admin: KeyAdmin; token: readonly KeyListing[] },
): Promise<KeyRow | undefined> {
  switch (step.kind) {
    case 'there':
      return undefined
    case 'generate':
      return generate(step.ref, o.records, o.admin)
    case 'register':
      return register(step, o)
  }
}

/** Token first, records second: a key that nobody recorded is found by the next run, a record without a key is a lie. */
async function generate(ref: MasterKeyRef, records: Records, admin: KeyAdmin): Promise<KeyRow> {
  await assertMayRegister(records)
  const { record, kcv, ref: _ref, ...evidence } = await admin.generate(ref)
  const twins = (await admin.list()).filter(({ label }) => label === keyLabel(ref))
  if (twins.length > 1) {
    const ids = twins.map(({ ckaId }) => ckaId).join(' and ')
    const message = `${keyLabel(ref)} was made twice, as CKA_ID ${ids}: two runs at the same time`
    throw new CliError('KEY_MISMATCH', message, {
      exitStatus: EXIT.key,
      fix: 'remove one of the two; neither was ever used',
    })
  }
  return save(records, ref, kcv, record, { ...evidence, kcv })
}

async function register(
  { ref, state }: Extract<KeyStep, { readonly kind: 'register' }>,
  { records, admin, token }: { records: Records; admin: KeyAdmin; token: readonly KeyListing[] },
): Promise<KeyRow> {
  const registration = await registrationOf(ref, { admin, token })
  if (state === 'PENDING') return (await registerMasterKey(records, registration)).key
  return (await recoverMasterKey(records, { ...registration, state })).key
}

async function save(
  records: Records,
  ref: MasterKeyRef,
  kcv: string | null,
  record: string | null,
  evidence: unknown,
): Promise<KeyRow> {
  const { key } = await registerMasterKey(records, {
    ref,
    ...(kcv === null ? {} : { checkValue: Buffer.from(kcv, 'hex') }),
    ...(record === null ? {} : { checkRecord: Buffer.from(record, 'hex') }),
    evidence,
  })
  return key
}
