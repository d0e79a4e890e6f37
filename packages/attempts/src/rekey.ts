import { openObject, segmentsAtOnce, type KeyDeriver, type NonceWrapper, type OpenedObject } from '@sealfleet/format'
import { keyStateOf } from '@sealfleet/objects'
import { objectRecord } from '@sealfleet/records/attempts'
import { getFile } from '@sealfleet/records/files'
import {
  claimRekeyItem,
  commitRekey,
  endRekeyItem,
  openRekeyAttempt,
  renewRekeyLease,
  type RekeyClaim,
} from '@sealfleet/records/rekey'
import { recordedReader, type Store } from '@sealfleet/store'

import type { AttemptDependencies, AttemptKind, AttemptOutcome, Plaintext } from './kind.js'
import { FencedError } from './lease.js'
import { poisonOf } from './poison.js'
import { runAttempt, type AttemptOptions } from './run-attempt.js'

export interface RekeyDependencies extends AttemptDependencies {
  /** Derives for the old object, whose tags tell a wrong key. */
  readonly opener: KeyDeriver & NonceWrapper
  /** Where an old object lies: another bucket than today's, perhaps. */
  readonly storeOf: (bucket: string) => Promise<Pick<Store, 'head' | 'reader'>>
}

/** An item of a run, and the owner of one activation of its job. */
export interface RekeyRequest {
  readonly itemId: string
  readonly owner: string
}

/**
 * One attempt at re-encrypting a stored file (docs/design/attempt.md): opens its object, pinned to its version and checked
 * against its record; seals its plaintext, each segment once it is authentic, into a new object under the domain's
 * active keys and present policy; exchanges the two in the record. Plaintext is only in memory, a few segments at a time.
 *
 * The new object cannot be completed before the old one has proved whole: its trailer is written after the last check.
 * Until the exchange every reader finds the old object, afterwards the new one. Whatever happens, the file stays STORED
 * and readable. @see runAttempt
 */
export function rekeyItem(
  dependencies: RekeyDependencies,
  request: RekeyRequest,
  options: AttemptOptions,
): Promise<AttemptOutcome> {
  return runAttempt(dependencies, rekeyKind(dependencies, request), options)
}

/** @see rekeyItem */
export function rekeyKind(
  dependencies: RekeyDependencies,
  { itemId, owner }: RekeyRequest,
): AttemptKind<RekeyClaim, Plaintext> {
  const { records, leaseSeconds, step } = dependencies
  return {
    owner,
    recordsFence: true,
    step: (name, when) => step(name === 'open' ? 'rekey-open-old' : `rekey-${name}`, when),
    claim: async () => {
      const claimed = await claimRekeyItem(records, { itemId, owner, leaseSeconds })
      switch (claimed.outcome) {
        case 'claimed':
          return { kind: 'claimed', claim: claimed }
        case 'over':
          return { kind: 'skipped', state: claimed.state }
        case 'halted':
        case 'unknown':
          return { kind: 'halted' }
        case 'leased':
          return { kind: 'leased', retryInMs: claimed.expiresInMs }
      }
    },
    obstacle: ({ fileId, tries }) => poisonOf(records, { fileId, crashes: tries }),
    renew: ({ attemptNo }) => renewRekeyLease(records, { itemId, owner, attemptNo, leaseSeconds }),
    open: (claim, signal) => openOld(dependencies, claim, signal),
    record: ({ oldAttemptId }, _, attempt) => openRekeyAttempt(records, { ...attempt, itemId, oldAttemptId }),
    commit: ({ oldAttemptId }, object) => commitRekey(records, { ...object, itemId, oldAttemptId }),
    history: ({ tries }) => Promise.resolve({ counted: tries + 1 }),
    fail: ({ attemptNo }, { attemptId: _, disposition, decision, ...failing }) =>
      endRekeyItem(records, {
        itemId,
        owner,
        attemptNo,
        ...failing,
        disposition: disposition === 'dead' ? 'fail' : disposition,
        delaySeconds: decision?.action === 'retry' ? decision.delayMs / 1000 : 0,
      }),
  }
}

async function openOld(
  { records, opener, checkValues, storeOf }: RekeyDependencies,
  { fileId, oldAttemptId }: RekeyClaim,
  signal: AbortSignal,
): Promise<Plaintext> {
  const found = await getFile(records, fileId)
  if (found?.committed?.id !== oldAttemptId)
    throw new FencedError('the file is no longer kept by the attempt that was claimed')
  const { committed, file } = found
  const { source, context } = file
  const reader = await recordedReader(await storeOf(committed.bucket), committed, signal)
  const old = await openObject(reader, {
    keys: opener,
    unwrapper: opener,
    context,
    expectedFileId: fileId,
    record: objectRecord(fileId, committed),
    ...(committed.wrappedNonces !== null && { wrappedNonces: committed.wrappedNonces }),
    // Read for each file: a version may be destroyed during a run.
    keyState: keyStateOf(records, checkValues),
    signal,
  })
  return {
    length: old.plaintextLength,
    // One segment of the old object is being used while the next ones are read and opened.
    bufferBytes: (segmentsAtOnce(old.info.segmentSize) + 1) * old.info.segmentSize,
    context,
    source,
    read: () => wipedAfterUse(old, signal),
    [Symbol.asyncDispose]: () => Promise.resolve(old[Symbol.dispose]()),
  }
}

/**
 * The old object's plaintext, each buffer wiped when the sealer has used it. It ends only when every byte, their number
 * and their order have proved authentic.
 */
async function* wipedAfterUse(old: OpenedObject, signal: AbortSignal): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const plaintext of old.readAll({ signal })) {
    try {
      yield plaintext
    } finally {
      plaintext.fill(0)
    }
  }
}
