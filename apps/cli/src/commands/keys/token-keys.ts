import { keyLabel, type MasterKeyRef } from '@sealfleet/format'
import { openKeyAdmin, type KeyAdmin, type KeyListing, type PinLockout, type TokenOptions } from '@sealfleet/hsm'
import type { KeyRow } from '@sealfleet/records'
import { CliError } from '../../cli-error.js'
import { describeError } from '../../describe-error.js'
import { EXIT } from '../../exit-status.js'

/** The result of comparing a registered key with the token. */
export interface KeyComparison {
  readonly key: KeyRow
  readonly outcome: 'ok' | 'missing' | 'mismatch' | 'wrong answer' | 'twice' | 'nothing to compare' | 'destroyed'
}

/** Opens a token and compares every given row with it. @throws HsmError when it is out of reach */
export async function compareToken(
  token: TokenOptions,
  lockout: PinLockout,
  rows: readonly KeyRow[],
): Promise<{ readonly comparisons: readonly KeyComparison[]; readonly listing: readonly KeyListing[] }> {
  await using admin = await openKeyAdmin(token, { lockout })
  const listing = await admin.list()
  return { comparisons: await compareKeys(admin, rows, listing), listing }
}

/** Recomputes check values and known answers in the token, and opens the check record of a KEK, for every given row. */
export async function compareKeys(
  admin: KeyAdmin,
  rows: readonly KeyRow[],
  token: readonly KeyListing[],
): Promise<readonly KeyComparison[]> {
  const comparisons: KeyComparison[] = []
  for (const key of rows) comparisons.push({ key, outcome: await compareKey(admin, key, token) })
  return comparisons
}

async function compareKey(
  admin: KeyAdmin,
  key: KeyRow,
  token: readonly KeyListing[],
): Promise<KeyComparison['outcome']> {
  const count = token.filter(({ label }) => label === keyLabel(key)).length
  if (key.state === 'DESTROYED') return count === 0 ? 'destroyed' : 'mismatch'
  if (count === 0) return 'missing'
  if (count > 1) return 'twice'
  if (key.role === 'kek') {
    if (key.checkRecord === null) return 'nothing to compare'
    return (await opensRecord(admin, key, key.checkRecord)) ? 'ok' : 'mismatch'
  }
  if (key.checkValue === null) return 'nothing to compare'
  const now = await admin.checkValue(key)
  if (!now.equals(key.checkValue)) return 'mismatch'
  if (key.knownAnswer === null) return 'ok'
  return (await answers(admin, key, key.knownAnswer)) ? 'ok' : 'wrong answer'
}

async function opensRecord(admin: KeyAdmin, { domain, version }: MasterKeyRef, record: Buffer): Promise<boolean> {
  try {
    await admin.checkKekRecord({ domain, version }, record)
    return true
  } catch (error) {
    if (describeError(error).code === 'KEY_MISMATCH') return false
    throw error
  }
}

async function answers(admin: KeyAdmin, key: MasterKeyRef, registered: Buffer): Promise<boolean> {
  try {
    return (await admin.knownAnswer(key)).equals(registered)
  } catch (error) {
    // Zeros and the like.
    if (describeError(error).code === 'KEY_MISMATCH') return false
    throw error
  }
}

/** Outcomes of a key with which nothing can be sealed or opened on that token. */
export const UNUSABLE: readonly KeyComparison['outcome'][] = ['missing', 'mismatch', 'wrong answer', 'twice']

/** Throws for a key that is not what its record says; `missing` and `mismatch` have status 5. */
export function assertSound({ key, outcome }: KeyComparison): void {
  const label = keyLabel(key)
  const fail = (code: string, message: string, fix: string): CliError =>
    new CliError(code, message, { exitStatus: EXIT.key, fix })
  if (outcome === 'missing') {
    throw fail(
      'E_KEY_UNKNOWN',
      `${label} is ${key.state} in the records, but not in this token`,
      'check SEALFLEET_PKCS11_TOKEN and SEALFLEET_PKCS11_MODULE, or restore the token from its backup',
    )
  }
  if (outcome === 'twice') {
    throw fail(
      'KEY_MISMATCH',
      `the token holds ${label} twice`,
      'find out which one the check value belongs to; remove the other',
    )
  }
  if (outcome === 'mismatch') {
    throw fail(
      'KEY_MISMATCH',
      `${label} in the token is not the registered key`,
      'restore the right key under this label',
    )
  }
  if (outcome === 'wrong answer') {
    throw fail(
      'KEY_MISMATCH',
      `${label} has the right check value, but another answer to a nonce than when it was registered: the token computes nonsense`,
      'take this HSM out of service and have it examined; nothing is sealed with it',
    )
  }
}

/** The attributes that a key in the token must have before it is taken over without having been made in this run. */
const REQUIRED: Readonly<Record<string, boolean>> = {
  SENSITIVE: true,
  EXTRACTABLE: false,
  ALWAYS_SENSITIVE: true,
  NEVER_EXTRACTABLE: true,
  LOCAL: true,
}

/** Attributes of a key with a wrong value; an attribute that the token does not report is accepted. */
export function unsoundAttributes({ attributes }: Pick<KeyListing, 'attributes'>): readonly string[] {
  return Object.entries(REQUIRED)
    .filter(([name, wanted]) => typeof attributes[name] === 'boolean' && attributes[name] !== wanted)
    .map(([name, wanted]) => `CKA_${name} is not ${wanted}`)
}
