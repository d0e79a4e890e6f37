import { FormatError, type ObjectReader, type OpenOptions } from '@sealfleet/format'
import { objectRecord } from '@sealfleet/records/attempts'
import type { CommittedAttempt, FileRow } from '@sealfleet/records'
import { recordedReader, type Store } from '@sealfleet/store'

import type { KeyState, RegisteredKeys } from './key-states.js'

/** A file that is STORED, with the attempt to open. */
export interface StoredFile {
  readonly file: FileRow
  readonly committed: CommittedAttempt
}

/** The arguments of `openObject` and `verifyObject` for a stored file. */
export interface ReadableObject {
  readonly reader: ObjectReader
  readonly options: OpenOptions
}

/** Where a program finds stored files; `readableObject` makes the second half. */
export interface StoredFiles {
  /** By the name that the program's callers give. Throws the program's own error for a file that is not STORED. */
  find(given: string): Promise<StoredFile>
  object(stored: StoredFile): Promise<ReadableObject>
}

/**
 * A stored file's object, ready to be opened or verified; no byte of it is read yet.
 * @throws FormatError E_KEY_DESTROYED when the KEK of its nonces was destroyed; errors of the store
 */
export async function readableObject(
  { keys, storeOf }: { readonly keys: RegisteredKeys; readonly storeOf: (bucket: string) => Promise<Store> },
  stored: StoredFile,
  signal: AbortSignal,
): Promise<ReadableObject> {
  await assertKekLives(keys.keyState, stored)
  const { committed } = stored
  const reader = await recordedReader(await storeOf(committed.bucket), committed, signal)
  return { reader, options: openOptions(keys, stored, signal) }
}

/** Nonces under a destroyed KEK are lost forever: reported at once, as for a destroyed master key, without the HSM. */
async function assertKekLives(keyState: KeyState, { committed }: StoredFile): Promise<void> {
  if (committed.wrappedNonces === null) return
  const { kekVersion: version } = committed.wrappedNonces
  const state = await keyState({ role: 'kek', domain: committed.domain, suite: 1, version })
  if (state === 'destroyed')
    throw new FormatError(
      'E_KEY_DESTROYED',
      `kek ${version} of domain ${committed.domain}, which wraps the nonces, was destroyed`,
    )
}

function openOptions(
  { hsm, keyState }: RegisteredKeys,
  { file, committed }: StoredFile,
  signal: AbortSignal,
): OpenOptions {
  const { wrappedNonces } = committed
  return {
    keys: hsm,
    unwrapper: hsm,
    context: file.context,
    expectedFileId: file.id,
    record: objectRecord(file.id, committed),
    ...(wrappedNonces === null ? {} : { wrappedNonces }),
    keyState,
    signal,
  }
}
