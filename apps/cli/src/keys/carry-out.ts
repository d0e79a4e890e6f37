import { keyLabel, type KeyAdmin, type KeyListing } from '@sealfleet/hsm'
import {
  activateMasterKey,
  activateMasterKeyIn,
  appendAudit,
  registerMasterKey,
  type KeyRow,
  type MasterKeyRef,
  type Records,
} from '@sealfleet/records'
import { CliError } from '../cli-error.js'
import { EXIT } from '../exit-status.js'
import type { KeyStep } from './plan.js'
import { unsoundAttributes } from './token-keys.js'

/** Carries out one step; returns the row of its key as it is afterwards. `there` has nothing to carry out. */
export async function carryOut(
  step: KeyStep,
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

/** Activates keys of several roles in one transaction with their audit rows: all of them or none. */
export function activateAll(
  records: Records,
  steps: readonly (KeyStep & { readonly kind: 'activate' })[],
  actor: string,
): Promise<readonly KeyRow[]> {
  return records.transaction(async (tx) => {
    const rows: KeyRow[] = []
    for (const { ref, replaces } of steps) {
      const row = await activateMasterKeyIn(tx, { ref, replaces })
      const detail = { label: row.label, checkValue: row.checkValue?.toString('hex') ?? null }
      await appendAudit(tx, { actor, action: 'keys.activate', subjectKind: 'key', subjectId: row.id, detail })
      rows.push(row)
    }
    return rows
  })
}

async function perform(
  step: KeyStep,
  o: { records: Records; admin: KeyAdmin; token: readonly KeyListing[] },
): Promise<KeyRow | undefined> {
  switch (step.kind) {
    case 'there':
      return undefined
    case 'generate':
      return generate(step.ref, o.records, o.admin)
    case 'register':
      return register(step.ref, o)
    case 'activate':
      return activateMasterKey(o.records, { ref: step.ref, replaces: step.replaces })
  }
}

/** Token first, records second: a key that nobody recorded is found by the next run, a record without a key is a lie. */
async function generate(ref: MasterKeyRef, records: Records, admin: KeyAdmin): Promise<KeyRow> {
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
  ref: MasterKeyRef,
  { records, admin, token }: { records: Records; admin: KeyAdmin; token: readonly KeyListing[] },
): Promise<KeyRow> {
  const found = token.filter(({ label }) => label === keyLabel(ref))
  const [listing] = found
  if (listing === undefined || found.length > 1) {
    const message = `the token holds ${keyLabel(ref)} ${found.length} times`
    throw new CliError('KEY_MISMATCH', message, { exitStatus: EXIT.key, fix: 'keep exactly one key of that label' })
  }
  const problems = unsoundAttributes(listing)
  if (problems.length > 0) {
    const message = `${keyLabel(ref)} is in the token but not fit to be a master key: ${problems.join(', ')}`
    throw new CliError('HSM_ACCESS_DENIED', message, {
      exitStatus: EXIT.key,
      fix: 'find out who made it, and remove it',
    })
  }
  const kcv = ref.role === 'kek' ? null : (await admin.checkValue(ref)).toString('hex')
  const record = ref.role === 'kek' ? (await admin.makeKekRecord(ref)).toString('hex') : null
  const { ckaId, label, attributes } = listing
  return save(records, ref, kcv, record, { ckaId, label, attributes, kcv, found: 'in the token, without a record' })
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
