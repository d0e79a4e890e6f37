import { keyLabel, type MasterKeyRef, type Role, type Suite } from '@sealfleet/format'
import type { KeyAdmin, KeyListing } from '@sealfleet/hsm'
import { appendAudit } from '@sealfleet/records/audit'
import { ensureDomain, listDomains } from '@sealfleet/records/fleet'
import { listMasterKeys, underLoginLock } from '@sealfleet/records/keys'
import { recoverDestruction, recoverMasterKey, type KeyRecovery } from '@sealfleet/records/recovery'
import type { KeyRow, Records } from '@sealfleet/records'
import { describeError } from '../../describe-error.js'
import { registrationOf } from '../keys/adopt.js'
import type { Destroyed } from './destructions.js'
import type { SurveyedDomain } from './survey.js'

/** A key of the token that gets, or would get, a record. */
export interface KeyRecovered {
  readonly ref: MasterKeyRef
  readonly label: string
  readonly state: 'ACTIVE' | 'DECRYPT_ONLY'
}

/** A key of the token that is not trusted: objects sealed under it cannot be placed. */
export interface KeyRefused {
  readonly label: string
  readonly code: string
  readonly message: string
}

export interface DomainPlan {
  readonly id: string
  readonly suite: Suite
  readonly nonceMode: 'inline' | 'detached'
  readonly segLog2: number
  readonly keys: readonly KeyRecovered[]
}

type Row = Pick<KeyRow, 'domain' | 'role' | 'suite' | 'version' | 'state'>

/**
 * Derives the domains from the token's keys. Of each role the newest version becomes ACTIVE, if none is and no
 * newer one ever had a record; all others only open. enc and sig must be of one suite, so that is the suite of the newest
 * enc key that has a sig key beside it. Nonces are detached where the newest header says so (without any header: where the
 * domain has a KEK), and only with a KEK. `gone`: versions that were destroyed; none of them is looked for in the token.
 */
export function planKeys(
  token: readonly Pick<KeyListing, 'ref'>[],
  rows: readonly Row[],
  surveyed: ReadonlyMap<string, SurveyedDomain>,
  gone: readonly MasterKeyRef[] = [],
): readonly DomainPlan[] {
  const refs = token.map(({ ref }) => ref)
  const labels = new Set(gone.map(keyLabel))
  const known = [
    ...rows.filter((row) => !labels.has(keyLabel(row))),
    ...gone.map((ref): Row => ({ ...ref, state: 'DESTROYED' })),
  ]
  const ids = [...new Set([...refs, ...gone].map(({ domain }) => domain))].sort()
  return ids.map((id) => {
    const own = refs.filter(({ domain }) => domain === id)
    const suite = suiteOf(own) ?? suiteOf(gone.filter(({ domain }) => domain === id)) ?? 1
    const newest = surveyed.get(id)?.newest
    const hasKek = own.some(({ role }) => role === 'kek')
    const keys = (['enc', 'sig', 'kek', 'audit'] as const).flatMap((role) =>
      planRoleKeys(
        role,
        role === 'enc' || role === 'sig' ? suite : 1,
        own,
        known.filter(({ domain }) => domain === id),
      ),
    )
    const detached = hasKek && (newest === undefined || newest.nonceMode === 'detached')
    return { id, suite, nonceMode: detached ? 'detached' : 'inline', segLog2: newest?.segLog2 ?? 20, keys }
  })
}

function suiteOf(own: readonly MasterKeyRef[]): Suite | undefined {
  const sig = own.filter(({ role }) => role === 'sig')
  const paired = own.filter(({ role, suite }) => role === 'enc' && sig.some((one) => one.suite === suite))
  return paired.sort((a, b) => b.version - a.version)[0]?.suite
}

function planRoleKeys(role: Role, suite: Suite, own: readonly MasterKeyRef[], rows: readonly Row[]): KeyRecovered[] {
  const known = rows.filter((row) => row.role === role)
  const strangers = own
    .filter((ref) => ref.role === role && !known.some(({ version }) => version === ref.version))
    .sort((a, b) => a.version - b.version)
  const newest = strangers.findLast((ref) => ref.suite === suite)
  const mayLead =
    newest !== undefined &&
    known.every(({ state, version }) => state !== 'ACTIVE' && (state === 'DECRYPT_ONLY' || version < newest.version))
  return strangers.map((ref) => ({
    ref,
    label: keyLabel(ref),
    state: mayLead && ref === newest ? 'ACTIVE' : 'DECRYPT_ONLY',
  }))
}

/**
 * Writes the records of domains and keys that are missing, each key with an audit row in the same transaction. Holds
 * the lock of `keys init`, so that no key is created meanwhile. An unfit key is refused and left out.
 */
export async function recoverKeys(
  { records, admin }: { readonly records: Records; readonly admin: KeyAdmin },
  { surveyed, destroyed }: { surveyed: ReadonlyMap<string, SurveyedDomain>; destroyed: readonly Destroyed[] },
  o: { readonly actor: string; readonly dryRun: boolean; readonly signal: AbortSignal },
): Promise<{ readonly domains: readonly DomainPlan[]; readonly refused: readonly KeyRefused[] }> {
  const token = await admin.list()
  const rows = await listMasterKeys(records)
  const refused: KeyRefused[] = token.flatMap(({ label }) => {
    const back = destroyed.some((one) => one.label === label)
    return back
      ? [{ label, code: 'KEY_MISMATCH', message: 'a signed record says that it was destroyed, but it is in the token' }]
      : []
  })
  const gone = destroyed.map(({ ref }) => ref)
  const domains = planKeys(token, rows, surveyed, gone)
  for (const domain of domains) {
    o.signal.throwIfAborted()
    const lock = { tokenSerial: 'keys init', pinId: domain.id }
    await underLoginLock(records, lock, async (tx) => {
      const known = (await listDomains(tx)).some(({ id }) => id === domain.id)
      if (!known && !o.dryRun) {
        const { keys: _keys, id, ...policy } = domain
        await ensureDomain(tx, { id, ...policy, lossAcknowledged: policy.nonceMode === 'detached' })
        const detail = { ...policy, from: 'token and headers' }
        await appendAudit(tx, {
          actor: o.actor,
          action: 'recover.domain',
          subjectKind: 'domain',
          subjectId: id,
          detail,
        })
      }
      for (const one of destroyed)
        if (!o.dryRun && one.ref.domain === domain.id)
          await writeDestroyed(tx, one, { back: refused.some(({ label }) => label === one.label), actor: o.actor })
      for (const key of domain.keys) {
        try {
          const registration = await registrationOf(key.ref, { admin, token })
          if (!o.dryRun) await write(tx, { ...registration, state: key.state }, o.actor)
        } catch (error) {
          const { code, message } = describeError(error)
          if (code !== 'KEY_MISMATCH' && code !== 'HSM_ACCESS_DENIED') throw error
          refused.push({ label: key.label, code, message })
        }
      }
    })
  }
  return { domains, refused }
}

type Transaction = Parameters<typeof recoverMasterKey>[0]

async function write(tx: Transaction, input: KeyRecovery, actor: string): Promise<KeyRow> {
  const { created, key } = await recoverMasterKey(tx, input)
  if (created) await note(tx, key, key.state, actor)
  return key
}

/**
 * The key's row, and the destruction's with its signed record. An older database that was put back may have the key in any state: it becomes
 * DESTROYED too, unless a token has it (`back`), which is reported.
 */
async function writeDestroyed(tx: Transaction, one: Destroyed, o: { back: boolean; actor: string }): Promise<void> {
  const key = await write(tx, recordOfDestroyed(one), o.actor)
  if (one.row === undefined || (o.back && key.state !== 'DESTROYED')) return
  const before = key.state
  if (!(await recoverDestruction(tx, key.id, one.row))) return
  if (before !== 'DESTROYED') await note(tx, key, 'DESTROYED', o.actor)
  const detail = { label: one.label, destructionId: one.row.id, storeKey: one.storeKey }
  await appendAudit(tx, {
    actor: o.actor,
    action: 'recover.destruction',
    subjectKind: 'key',
    subjectId: key.id,
    detail,
  })
}

async function note(tx: Transaction, { id, label, checkValue }: KeyRow, state: string, actor: string): Promise<void> {
  const detail = { label, state, checkValue: checkValue?.toString('hex') ?? null }
  await appendAudit(tx, { actor, action: 'recover.key', subjectKind: 'key', subjectId: id, detail })
}

/** The check record of a destroyed KEK cannot be opened any more, but its row needs one: zeros. */
function recordOfDestroyed({ ref, label, destroyedAt, checkValue, storeKey }: Destroyed): KeyRecovery {
  const evidence = { label, found: 'in a signed record of its destruction', storeKey }
  return {
    ...{ ref, state: 'DESTROYED', destroyedAt, evidence },
    ...(checkValue !== null && ref.role !== 'kek' && { checkValue: Buffer.from(checkValue, 'hex') }),
    ...(ref.role === 'kek' && { checkRecord: Buffer.alloc(92) }),
  }
}
