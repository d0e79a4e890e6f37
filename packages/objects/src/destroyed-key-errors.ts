import { FormatError, type KeyDeriver, keyLabel, type MasterKeyRef, type NonceWrapper } from '@sealfleet/format'
import { HsmError } from '@sealfleet/hsm'
import { findDestroyedKeys } from '@sealfleet/records/keys'
import type { Records } from '@sealfleet/records'

/**
 * Wraps the HSM: when a key is unknown there, looks up in the records whether it was destroyed. A key destroyed between
 * the check of its state and its use is then E_KEY_DESTROYED, which is not retried. All other errors pass through.
 */
export function withDestroyedKeyErrors(records: Records, hsm: KeyDeriver & NonceWrapper): KeyDeriver & NonceWrapper {
  const answered = async <T>(key: MasterKeyRef, answer: Promise<T>): Promise<T> => {
    try {
      return await answer
    } catch (error) {
      // On a secondary a missing key is KEY_MISMATCH.
      if (!(error instanceof HsmError && ['E_KEY_UNKNOWN', 'KEY_MISMATCH'].includes(error.code))) throw error
      const label = keyLabel(key)
      const [row] = await findDestroyedKeys(records, [label])
      if (row === undefined) throw error
      throw new FormatError('E_KEY_DESTROYED', `master key ${label} was destroyed`, { cause: error })
    }
  }
  const kekRef = ({ domain, version }: { domain: string; version: number }): MasterKeyRef => {
    return { role: 'kek', domain, suite: 1, version }
  }
  return {
    hmac: (key, message, options) => answered(key, hsm.hmac(key, message, options)),
    wrap: (kek, plaintext, aad, options) => answered(kekRef(kek), hsm.wrap(kek, plaintext, aad, options)),
    unwrap: (kek, wrapped, aad, options) => answered(kekRef(kek), hsm.unwrap(kek, wrapped, aad, options)),
  }
}
