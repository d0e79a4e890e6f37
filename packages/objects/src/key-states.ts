import { FormatError, type KeyDeriver, type MasterKeyRef, type NonceWrapper, type OpenOptions } from '@sealfleet/format'
import { HsmError, keyLabel, type HsmPool } from '@sealfleet/hsm'
import { getMasterKey } from '@sealfleet/records/keys'
import type { Records } from '@sealfleet/records'

export type KeyState = NonNullable<OpenOptions['keyState']>

/** How long a usable key is taken for usable without asking again, milliseconds: thousands of files share a few keys. */
const REMEMBERED_MS = 2_000

/**
 * What the records say of keys, and the HSM through which a command reads. A key that is destroyed in the middle of a command is
 * E_KEY_DESTROYED from then on, not one that the HSM merely does not know.
 */
export interface RegisteredKeys {
  readonly keyState: KeyState
  readonly hsm: KeyDeriver & NonceWrapper
}

export function registeredKeys(records: Records, pool: HsmPool): RegisteredKeys {
  const usable = new Map<string, number>()
  const keyState: KeyState = async (key) => {
    const label = keyLabel(key)
    if (performance.now() < (usable.get(label) ?? 0)) return 'usable'
    const row = await getMasterKey(records, key)
    if (row === undefined) return 'unknown'
    if (row.state === 'DESTROYED') return 'destroyed'
    // From now on the pool refuses any other key under this label.
    if (row.checkValue !== null) pool.expectCheckValue(row, row.checkValue, row.knownAnswer)
    if (row.checkRecord !== null) pool.expectKekRecord(row, row.checkRecord)
    usable.set(label, performance.now() + REMEMBERED_MS)
    return 'usable'
  }
  const asked = async <T>(key: MasterKeyRef, answer: Promise<T>): Promise<T> => {
    try {
      return await answer
    } catch (error) {
      // Of a secondary a key that is not there is KEY_MISMATCH.
      if (!(error instanceof HsmError && ['E_KEY_UNKNOWN', 'KEY_MISMATCH'].includes(error.code))) throw error
      usable.delete(keyLabel(key))
      if ((await keyState(key)) !== 'destroyed') throw error
      throw destroyed(key, error)
    }
  }
  const kekRef = ({ domain, version }: { domain: string; version: number }) =>
    ({ role: 'kek', domain, suite: 1, version }) as const
  return {
    keyState,
    hsm: {
      hmac: (key, message, options) => asked(key, pool.hmac(key, message, options)),
      wrap: (kek, plaintext, aad, options) => asked(kekRef(kek), pool.wrap(kek, plaintext, aad, options)),
      unwrap: (kek, wrapped, aad, options) => asked(kekRef(kek), pool.unwrap(kek, wrapped, aad, options)),
    },
  }
}

function destroyed({ role, domain, version }: MasterKeyRef, cause: unknown): FormatError {
  return new FormatError('E_KEY_DESTROYED', `${role} master key ${version} of domain ${domain} was destroyed`, {
    cause,
  })
}
