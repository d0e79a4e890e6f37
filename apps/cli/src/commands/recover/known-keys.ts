import { keyLabel, type MasterKeyRef } from '@sealfleet/format'
import type { HsmPool } from '@sealfleet/hsm'
import { listMasterKeys } from '@sealfleet/records/keys'
import type { KeyRow, Records } from '@sealfleet/records'

/** The keys of the records, for examining and placing objects. */
export interface KnownKeys {
  state(key: MasterKeyRef): Promise<'usable' | 'unknown' | 'destroyed'>
  /** Undefined for a key without a record. */
  find(key: MasterKeyRef): KeyRow | undefined
}

/** Reads all keys once; from now on the pool refuses any other key under their labels. */
export async function knownKeys(records: Records, pool: HsmPool): Promise<KnownKeys> {
  const rows = new Map((await listMasterKeys(records)).map((row) => [keyLabel(row), row]))
  for (const row of rows.values())
    if (row.checkValue !== null && row.state !== 'DESTROYED')
      pool.expectCheckValue(row, row.checkValue, row.knownAnswer)
  const find = (key: MasterKeyRef) => rows.get(keyLabel(key))
  return {
    find,
    state: (key) => {
      const state = find(key)?.state
      return Promise.resolve(state === undefined ? 'unknown' : state === 'DESTROYED' ? 'destroyed' : 'usable')
    },
  }
}

/** For a dry run into records without keys: the token's keys by label, and the destroyed ones. */
export function withTokenKeys(
  known: KnownKeys,
  labels: ReadonlySet<string>,
  destroyed: ReadonlySet<string>,
): KnownKeys {
  return {
    find: (key) => known.find(key),
    state: async (key) => {
      const state = await known.state(key)
      if (state === 'unknown' && destroyed.has(keyLabel(key))) return 'destroyed'
      return state === 'unknown' && labels.has(keyLabel(key)) ? 'usable' : state
    },
  }
}
