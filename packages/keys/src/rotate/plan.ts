import type { MasterKeyRef, Role, Suite } from '@sealfleet/format'
import type { KeyListing } from '@sealfleet/hsm'
import type { KeyRow } from '@sealfleet/records'

/** A step of `keys init` for one role of a domain. */
export type KeyStep =
  /** present and active: only its check remains */
  | { readonly kind: 'there'; readonly ref: MasterKeyRef }
  /**
   * in the token under our label, but without a record: an earlier run stopped in between, or the records are new. A
   * PENDING key is activated next; a key with a newer version only opens
   */
  | { readonly kind: 'register'; readonly ref: MasterKeyRef; readonly state: 'PENDING' | 'DECRYPT_ONLY' }
  /** makes a new master key in the token, and its record */
  | { readonly kind: 'generate'; readonly ref: MasterKeyRef }
  /** `replaces`: the version that must still be active, and is retired; null: none may be */
  | { readonly kind: 'activate'; readonly ref: MasterKeyRef; readonly replaces: number | null }

export interface PlanInput {
  readonly role: Role
  readonly domain: string
  readonly suite: Suite
  /** the domain's rows of every role */
  readonly rows: readonly Pick<KeyRow, 'role' | 'suite' | 'version' | 'state'>[]
  /** the token's keys of every domain and role */
  readonly token: readonly Pick<KeyListing, 'ref'>[]
}

/**
 * The steps that give `role` an active key, from any state that an earlier run left behind:
 *
 * - an ACTIVE row: nothing to make;
 * - keys in the token without a row are registered, oldest first, and the newest of the wanted suite is activated; the
 *   older ones open the files sealed under them, if the database was lost. None is ever destroyed;
 * - a PENDING row is activated;
 * - else a key of the next free version is generated, registered and activated.
 */
export function planRole({ role, domain, suite, rows, token }: PlanInput): readonly KeyStep[] {
  const own = rows.filter((row) => row.role === role)
  const refOf = (row: Pick<KeyRow, 'suite' | 'version'>): MasterKeyRef => ({
    role,
    domain,
    suite: row.suite,
    version: row.version,
  })
  const active = own.find(({ state }) => state === 'ACTIVE')
  if (active) return [{ kind: 'there', ref: refOf(active) }]

  const inToken = keysOf(token, role, domain)
  const strangers = inToken
    .filter((ref) => !own.some(({ version }) => version === ref.version))
    .sort((a, b) => a.version - b.version)
  const candidates = [...strangers, ...own.filter(({ state }) => state === 'PENDING').map(refOf)]
    .filter((ref) => ref.suite === suite)
    .sort((a, b) => b.version - a.version)
  const newest = Math.max(0, ...own.map(({ version }) => version), ...inToken.map(({ version }) => version))
  const [first] = candidates
  // Versions only go up: a version older than any earlier one is not activated again.
  const best = first?.version === newest ? first : undefined
  const steps: KeyStep[] = strangers.map((ref) => ({
    kind: 'register',
    ref,
    state: ref.version === best?.version ? 'PENDING' : 'DECRYPT_ONLY',
  }))
  if (best) return [...steps, { kind: 'activate', ref: best, replaces: null }]
  const ref: MasterKeyRef = { role, domain, suite, version: newest + 1 }
  return [...steps, { kind: 'generate', ref }, { kind: 'activate', ref, replaces: null }]
}

/**
 * The steps of a rotation: a new version, one above all earlier ones, replaces the active one. A key that an
 * interrupted rotation left in the token, or PENDING, is used before another is made. Empty when no version is active:
 * there is nothing to rotate.
 */
export function planRotation({ role, domain, suite, rows, token }: PlanInput): readonly KeyStep[] {
  const own = rows.filter((row) => row.role === role)
  const active = own.find(({ state }) => state === 'ACTIVE')
  if (active === undefined) return []
  const inToken = keysOf(token, role, domain)
  const newest = Math.max(...[...own, ...inToken].map(({ version }) => version))
  const replaces = active.version
  const ref: MasterKeyRef = { role, domain, suite, version: newest }
  if (newest > replaces) {
    const row = own.find(({ version }) => version === newest)
    if (row?.state === 'PENDING' && row.suite === suite) return [{ kind: 'activate', ref, replaces }]
    if (row === undefined && inToken.some((one) => one.version === newest && one.suite === suite))
      return [
        { kind: 'register', ref, state: 'PENDING' },
        { kind: 'activate', ref, replaces },
      ]
  }
  const next = { ...ref, version: newest + 1 }
  return [
    { kind: 'generate', ref: next },
    { kind: 'activate', ref: next, replaces },
  ]
}

function keysOf(token: PlanInput['token'], role: Role, domain: string): readonly MasterKeyRef[] {
  return token.map(({ ref }) => ref).filter((ref) => ref.role === role && (role === 'audit' || ref.domain === domain))
}
