import type { MasterKeyRef } from '@sealfleet/format'
import type { KeyRow } from '@sealfleet/records'

/** The facts that the pool needs about a key before its use: the registered check value and known answer. */
export interface CheckValues {
  expectCheckValue(key: MasterKeyRef, checkValue: Uint8Array, knownAnswer?: Uint8Array | null): void
  expectKekRecord(kek: { domain: string; version: number }, record: Uint8Array): void
}

/** From now on the pool uses the key only if it is the registered one. */
export function expectKey(
  pool: CheckValues,
  key: MasterKeyRef & Pick<KeyRow, 'checkValue' | 'checkRecord' | 'knownAnswer'>,
): void {
  if (key.checkValue !== null) pool.expectCheckValue(key, key.checkValue, key.knownAnswer)
  if (key.checkRecord !== null) pool.expectKekRecord(key, key.checkRecord)
}
