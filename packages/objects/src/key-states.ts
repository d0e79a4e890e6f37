import { keyLabel, type KeyDeriver, type MasterKeyRef, type NonceWrapper, type OpenOptions } from '@sealfleet/format'
import type { HsmPool } from '@sealfleet/hsm'
import type { Records } from '@sealfleet/records'
import { getMasterKey } from '@sealfleet/records/keys'

import { withDestroyedKeyErrors } from './destroyed-key-errors.js'
import { expectKey, type CheckValues } from './expected-keys.js'

export type KeyState = NonNullable<OpenOptions['keyState']>

/** Milliseconds for which a usable key counts as usable without another query: thousands of files share a few keys. */
const REMEMBERED_MS = 2_000

/** The states of keys in the records, and the HSM through which a command reads. */
export interface RegisteredKeys {
  readonly keyState: KeyState
  /** A key that is destroyed in the middle of a command is E_KEY_DESTROYED from then on. */
  readonly hsm: KeyDeriver & NonceWrapper
}

/**
 * Asks the records at each call. Passes the registered values of a usable key to the pool, which refuses any other key
 * under its label.
 */
export function keyStateOf(records: Records, pool: CheckValues): KeyState {
  return async (key) => {
    const row = await getMasterKey(records, key)
    if (row === undefined) return 'unknown'
    if (row.state === 'DESTROYED') return 'destroyed'
    expectKey(pool, row)
    return 'usable'
  }
}

/** As {@link keyStateOf}, but remembers a usable key for two seconds. */
export function registeredKeys(records: Records, pool: HsmPool): RegisteredKeys {
  const usable = new Map<string, number>()
  const ask = keyStateOf(records, pool)
  const keyState = async (key: MasterKeyRef): ReturnType<KeyState> => {
    const label = keyLabel(key)
    if (performance.now() < (usable.get(label) ?? 0)) return 'usable'
    const state = await ask(key)
    if (state === 'usable') usable.set(label, performance.now() + REMEMBERED_MS)
    return state
  }
  return { keyState, hsm: withDestroyedKeyErrors(records, pool) }
}
