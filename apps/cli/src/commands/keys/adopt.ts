import { keyLabel, type MasterKeyRef } from '@sealfleet/format'
import type { KeyAdmin, KeyListing } from '@sealfleet/hsm'
import type { KeyRegistration } from '@sealfleet/records/keys'
import { CliError } from '../../cli-error.js'
import { EXIT } from '../../exit-status.js'
import { unsoundAttributes } from './token-keys.js'

/**
 * The record for a key that is in the token already: its check value as the token computes it now (a KEK: a new check
 * record). Throws KEY_MISMATCH unless there is exactly one of that label, HSM_ACCESS_DENIED for a key that
 * could have been read.
 */
export async function registrationOf(
  ref: MasterKeyRef,
  { admin, token }: { readonly admin: KeyAdmin; readonly token: readonly KeyListing[] },
): Promise<KeyRegistration> {
  const found = token.filter(({ label }) => label === keyLabel(ref))
  const [listing] = found
  if (listing === undefined || found.length > 1) {
    const message = `the token holds ${keyLabel(ref)} ${found.length} times`
    throw new CliError('KEY_MISMATCH', message, { exitStatus: EXIT.key, fix: 'keep exactly one key with that label' })
  }
  const problems = unsoundAttributes(listing)
  if (problems.length > 0) {
    const message = `${keyLabel(ref)} is in the token but not fit to be a master key: ${problems.join(', ')}`
    throw new CliError('HSM_ACCESS_DENIED', message, {
      exitStatus: EXIT.key,
      fix: 'find out who made it, and remove it',
    })
  }
  const { ckaId, label, attributes } = listing
  const evidence = { ckaId, label, attributes, found: 'in the token, without a record' }
  if (ref.role === 'kek')
    return { ref, checkRecord: await admin.makeKekRecord(ref), evidence: { ...evidence, kcv: null } }
  const checkValue = await admin.checkValue(ref)
  return { ref, checkValue, evidence: { ...evidence, kcv: checkValue.toString('hex') } }
}
