import type { KeyListing } from '@sealfleet/hsm'
import type { KeyRow, MasterKeyRef, Role, Suite } from '@sealfleet/records'

/** What `keys init` does about one role of a domain. */
export type KeyStep =
  /** there and active: its check is all that is left to do */
  | { readonly kind: 'there'; readonly ref: MasterKeyRef }
  /** in the token under our label, but in no record: an earlier run stopped in between, or the records are new */
  | { readonly kind: 'register'; readonly ref: MasterKeyRef }
  /** makes a new master key in the token, and its record */
  | { readonly kind: 'generate'; readonly ref: MasterKeyRef }
  | { readonly kind: 'activate'; readonly ref: MasterKeyRef }

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
 * The steps that give `role` an active key, from whatever state an earlier run left behind:
 *
 * - an ACTIVE row: nothing to make;
 * - keys in the token without a row are registered, oldest first, and the newest of the wanted suite is activated. They
 *   are never destroyed: if it was the database that was lost, files are sealed under them;
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

  const inToken = token
    .map(({ ref }) => ref)
    .filter((ref) => ref.role === role && (role === 'audit' || ref.domain === domain))
  const strangers = inToken
    .filter((ref) => !own.some(({ version }) => version === ref.version))
    .sort((a, b) => a.version - b.version)
  const steps: KeyStep[] = strangers.map((ref) => ({ kind: 'register', ref }))
  const candidates = [...strangers, ...own.filter(({ state }) => state === 'PENDING').map(refOf)]
    .filter((ref) => ref.suite === suite)
    .sort((a, b) => b.version - a.version)
  const newest = Math.max(0, ...own.map(({ version }) => version), ...inToken.map(({ version }) => version))
  const [best] = candidates
  // Versions only go up: an older one than what was ever there is not made active again.
  if (best && best.version === newest) return [...steps, { kind: 'activate', ref: best }]
  const ref: MasterKeyRef = { role, domain, suite, version: newest + 1 }
  return [...steps, { kind: 'generate', ref }, { kind: 'activate', ref }]
}
