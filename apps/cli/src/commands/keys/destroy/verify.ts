import {
  checkSignatures,
  destructionCopy,
  readDestructionCopy,
  registered,
  verifyDestructionRecord,
  DestructionUnproven,
  type DestroyPorts,
  type Signer,
} from '@sealfleet/keys'
import type { HsmPool } from '@sealfleet/hsm'
import { listMasterKeys, type DestructionRow } from '@sealfleet/records/keys'
import { listOperators, type OperatorRow } from '@sealfleet/records/operators'

/** The result of checking one destruction; no problems: it is proven. */
export interface Checked {
  /** The destruction's. */
  readonly id: string
  readonly label: string
  readonly problems: readonly string[]
  /** The signers, and whether the key of each is enrolled here. */
  readonly signers: readonly CheckedSigner[]
}

export interface CheckedSigner {
  readonly name: string
  /** Hexadecimal. */
  readonly publicKey: string
  /** unknown: the operators were lost with a database; the owner of the public key is not known here. */
  readonly operator: 'enrolled' | 'revoked' | 'unknown'
}

/**
 * Checks a destruction that was carried out: the MAC of its record, the operators' signatures in it, that the store has
 * an identical copy, and that no token holds the key. @throws what HSM, store and records throw
 */
export async function checkDestruction(
  { records, store, tokens, pool }: DestroyPorts & { readonly pool: Pick<HsmPool, 'hmac'> },
  row: DestructionRow,
  signal: AbortSignal,
): Promise<Checked> {
  const { id, label, record, mac, auditKeyVersion, storeKey } = row
  const problems: string[] = []
  const signers: CheckedSigner[] = []
  const operators = await listOperators(records)
  if (record === null || mac === null || auditKeyVersion === null || storeKey === null)
    return { id, label, problems: ['the records hold no signed record of it'], signers: [] }
  const bytes = destructionCopy({ record, auditKeyVersion, mac })
  try {
    const verified = await verifyDestructionRecord(pool, bytes)
    if (verified.label !== label) problems.push(`the record is of ${verified.label}`)
    const signed = checkSignatures(verified.record)
    problems.push(...signed.problems)
    signers.push(...signed.signers.map((signer) => checkedSigner(signer, operators)))
  } catch (error) {
    if (!(error instanceof DestructionUnproven)) throw error
    problems.push(error.message)
  }
  const copy = await readDestructionCopy(store, storeKey, signal)
  if (copy === undefined) problems.push(`there is no copy in the store at ${storeKey}`)
  else if (!copy.equals(bytes)) problems.push(`the copy in the store at ${storeKey} differs from the record`)
  const keys = await listMasterKeys(records)
  const key = keys.find(({ id }) => id === row.keyId)
  if (key?.state !== 'DESTROYED') problems.push(`the key is ${key?.state ?? 'not registered'}, not DESTROYED`)
  if (key !== undefined) {
    const witnesses = keys.filter(({ state }) => state === 'ACTIVE').map(registered)
    for (const { token, present } of await tokens.look(registered(key), witnesses, signal))
      if (present) problems.push(`token ${token} still holds the key`)
  }
  return { id, label, problems, signers }
}

function checkedSigner({ name, publicKey }: Signer, operators: readonly OperatorRow[]): CheckedSigner {
  const known = operators.find((one) => one.publicKey.equals(publicKey))
  const operator = known === undefined ? 'unknown' : known.revokedAt === null ? 'enrolled' : 'revoked'
  return { name, publicKey: publicKey.toString('hex'), operator }
}
