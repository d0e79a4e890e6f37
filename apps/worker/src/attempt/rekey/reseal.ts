import { openObject, type OpenedObject } from '@sealfleet/format'
import { objectRecord } from '@sealfleet/records/attempts'
import type { RekeyClaim } from '@sealfleet/records/rekey'
import { recordedReader } from '@sealfleet/store'

import { commitWhileLeased } from '../commit-while-leased.js'
import { FencedError, type Lease } from '../lease.js'
import { newObject, planUpload, sealAndUpload, wrappedNoncesOf } from '../seal-upload.js'
import type { RekeyStep } from '../steps.js'
import type { KeptFile, RekeyPorts } from './ports.js'

/** The outcome for the file. */
export interface Resealed {
  readonly attemptId: string
  readonly objectKey: string
  readonly plaintextLength: number
  readonly encKeyVersion: number
  readonly sigKeyVersion: number
}

export interface ResealOptions {
  readonly claim: RekeyClaim
  readonly owner: string
  readonly lease: Lease
  /** Aborts on a lost lease, a cancelled job or a shutdown. */
  readonly signal: AbortSignal
}

/**
 * Re-encrypts a stored file under an item's claim: opens its object, pinned to its version and checked against its
 * record; seals its plaintext, each segment once it is authentic, into a new object under the domain's active keys and
 * present policy; exchanges the two in the record. Plaintext is only in memory, a few segments at a time.
 *
 * The new object cannot be completed before the old one has proved whole: its trailer is written after the last check.
 * Until the exchange every reader finds the old object, afterwards the new one. Throws what stopped it; then the file
 * is unchanged. Keys, nonces, plaintext and part buffers are wiped or released on every path.
 */
export async function reseal(ports: RekeyPorts, options: ResealOptions): Promise<Resealed> {
  const { claim, owner, signal } = options
  const { fileId, itemId, oldAttemptId } = claim
  const step = (name: RekeyStep, when: 'before' | 'after') => ports.step(`rekey-${name}`, when)
  await step('open-old', 'before')
  const kept = await ports.records.kept(fileId)
  if (kept?.committed.id !== oldAttemptId)
    throw new FencedError('the file is no longer kept by the attempt that was claimed')
  using old = await openOld(ports, fileId, kept, signal)
  await step('open-old', 'after')

  const plan = planUpload(ports.store, old.plaintextLength, claim.domain.segLog2)
  // One segment of the old object is being used while the next is read.
  using _reserved = await ports.budget.acquire(plan.bufferBytes + 2 * 2 ** old.info.segLog2, signal)

  using object = await openAttempt(ports, options)
  const made = await sealAndUpload(
    { ...ports, step },
    {
      object,
      attemptNo: claim.attemptNo,
      segLog2: claim.domain.segLog2,
      context: kept.context,
      source: kept.source,
      plaintext: checkedPlaintext(ports, options, old),
      plaintextLength: old.plaintextLength,
      plan,
      signal,
    },
  )
  await step('commit', 'before')
  const outcome = await commitWhileLeased(options, () =>
    ports.records.commit({
      itemId,
      oldAttemptId,
      attemptId: object.attemptId,
      fileId,
      owner,
      ...made,
    }),
  )
  if (outcome === 'fenced') throw new FencedError('the item or its file is another’s; this attempt may not commit')
  await step('commit', 'after')
  return {
    attemptId: object.attemptId,
    objectKey: object.objectKey,
    plaintextLength: made.plaintextLength,
    encKeyVersion: object.keys.enc.version,
    sigKeyVersion: object.keys.sig.version,
  }
}

async function openOld(
  ports: RekeyPorts,
  fileId: string,
  { context, committed }: KeptFile,
  signal: AbortSignal,
): Promise<OpenedObject> {
  const reader = await recordedReader(await ports.storeOf(committed.bucket), committed, signal)
  return openObject(reader, {
    keys: ports.opener,
    unwrapper: ports.opener,
    context,
    expectedFileId: fileId,
    record: objectRecord(fileId, committed),
    ...(committed.wrappedNonces !== null && { wrappedNonces: committed.wrappedNonces }),
    keyState: ports.records.keyState,
    signal,
  })
}

/** Fresh nonces, recorded before anything is derived from them. */
async function openAttempt(ports: RekeyPorts, { claim, owner, signal }: ResealOptions) {
  await ports.step('rekey-nonces', 'before')
  const { id: domain, nonceMode } = claim.domain
  const keys = await ports.records.activeKeys(domain)
  const of = { fileId: claim.fileId, domain, keys, nonceMode }
  const object = await newObject(ports.newId, of, async ({ attemptId, objectKey, nonces, ...made }) => {
    const wrappedNonces = await wrappedNoncesOf(ports.hsm, { ...made, attemptId, nonces }, signal)
    const { bucket } = ports.store
    await ports.records.openAttempt({ claim, owner, attemptId, keys, ...nonces, wrappedNonces, bucket, objectKey })
  })
  await ports.step('rekey-nonces', 'after')
  return object
}

/**
 * The old object's plaintext, each buffer wiped when the sealer has used it. Its generator ends only when every byte, their
 * number and their order have proved authentic; the sealer asks for that end before it writes the trailer.
 */
async function* checkedPlaintext(
  ports: RekeyPorts,
  { lease, signal }: ResealOptions,
  old: OpenedObject,
): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const plaintext of old.readAll({ signal })) {
    ports.moved?.()
    try {
      yield plaintext
    } finally {
      plaintext.fill(0)
    }
  }
  await ports.step('rekey-upload', 'after')
  lease.assertHeld()
  await ports.step('rekey-complete', 'before')
}
