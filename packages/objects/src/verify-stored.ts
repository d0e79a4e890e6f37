import {
  type KeyDeriver,
  type MasterKeyRef,
  type NonceWrapper,
  type OpenOptions,
  verifyObject,
} from '@sealfleet/format'
import { getMasterKey } from '@sealfleet/records/keys'
import { objectRecord } from '@sealfleet/records/attempts'
import type { CommittedAttempt, FileRow, Records } from '@sealfleet/records'
import { recordedReader, type Store } from '@sealfleet/store'

/** The HSM's part in verifying: structurally the pool of packages/hsm. Only signing masters (and KEKs) are used. */
export interface VerifyHsm extends KeyDeriver, NonceWrapper {
  expectCheckValue(key: MasterKeyRef, checkValue: Uint8Array, knownAnswer?: Uint8Array | null): void
  expectKekRecord(kek: { readonly domain: string; readonly version: number }, record: Uint8Array): void
}

/**
 * Checks every byte of a stored file's object against its tags and its record. @throws an error with the first failing
 * check's code
 */
export async function verifyStored(
  { records, store, hsm }: { readonly records: Records; readonly store: Store; readonly hsm: VerifyHsm },
  { file, committed }: { readonly file: FileRow; readonly committed: CommittedAttempt },
  signal?: AbortSignal,
): Promise<void> {
  const { wrappedNonces } = committed
  const reader = await recordedReader(store, committed, signal)
  const keyState: OpenOptions['keyState'] = async (ref) => {
    const row = await getMasterKey(records, ref)
    if (row === undefined) return 'unknown'
    if (row.state === 'DESTROYED') return 'destroyed'
    if (row.checkValue !== null) hsm.expectCheckValue(row, row.checkValue, row.knownAnswer)
    if (row.checkRecord !== null) hsm.expectKekRecord(row, row.checkRecord)
    return 'usable'
  }
  await verifyObject(reader, {
    keys: hsm,
    unwrapper: hsm,
    context: file.context,
    expectedFileId: file.id,
    record: objectRecord(file.id, committed),
    ...(wrappedNonces !== null && { wrappedNonces }),
    keyState,
    signal,
  })
}
