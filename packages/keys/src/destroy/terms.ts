/**
 * Terms. To *destroy* a master key version is to make every object sealed under it permanently unreadable. A
 * destruction is *scheduled* by two operators' signatures, waits, and is then *carried out*; until then it can be
 * *cancelled*. An object *needs* a key if it could not be opened without it, by the records or by the headers in the
 * store. To *shred* is to destroy a key although files need it. A file is *lost* when it is STORED, or only the store
 * has it, and it cannot be opened in any other way. A *proof* is a token's evidence afterwards, given to a process that
 * never saw the key.
 */
import type { RegisteredKey, TokenSet } from '@sealfleet/hsm'
import type { KeyHold, KeyReferences } from '@sealfleet/records/keys'
import type { KeyRow, Records } from '@sealfleet/records'
import type { Store } from '@sealfleet/store'

/** A use of a key. */
export interface KeyNeed {
  readonly where: 'database' | 'store'
  readonly fileId: string
  readonly attemptId: string
  /** The attempt's state; `unknown`: not in the records; `elsewhere`: its file is stored without this key. */
  readonly state: string
  readonly objectKey: string
}

/** The evidence of the headers in the store for one key. */
export interface StoreNeeds {
  /** Objects whose headers were read. */
  readonly looked: number
  /** Of those, objects that are not sealed, or of an unknown format version: their keys are unknown. */
  readonly unreadable: number
  /** Objects under the key. */
  readonly objects: number
  /** Of those, objects that the records do not count as uses: unknown to them, or left behind. */
  readonly beyondRecords: number
  /** Lost files that the records do not count. */
  readonly lost: number
  /** The first hundred that are not in the records. */
  readonly first: readonly KeyNeed[]
}

export interface KeyNeeds {
  readonly database: KeyReferences
  readonly store: StoreNeeds
  /** Lost files, by records and headers. */
  readonly lost: number
  /** The first hundred of both. */
  readonly first: readonly KeyNeed[]
  readonly holds: readonly KeyHold[]
}

export const MOST_NEEDS = 100

export interface DestroyPorts {
  readonly records: Records
  readonly store: Store
  /** Every token that holds the keys. */
  readonly tokens: TokenSet
}

/** A destruction that is not carried out (or not scheduled) in the present state. */
export class DestructionRefused extends Error {
  override readonly name = 'DestructionRefused'
  readonly code: 'HELD' | 'STILL_REFERENCED' | 'BAD_STATE' | 'NO_ACTIVE_KEY' | 'REQUEST_MISMATCH'
  readonly fix: string
  readonly needs: KeyNeeds | undefined

  constructor(
    code: DestructionRefused['code'],
    message: string,
    o: { readonly fix: string; readonly needs?: KeyNeeds },
  ) {
    super(message)
    this.code = code
    this.fix = o.fix
    this.needs = o.needs
  }
}

export function registered(row: KeyRow): RegisteredKey {
  const { role, domain, suite, version, checkValue, checkRecord } = row
  return { ref: { role, domain, suite, version }, checkValue, checkRecord }
}
