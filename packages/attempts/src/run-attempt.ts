import { classify, decide, type Decision } from '@sealfleet/failures'
import { nonceId, type PlaintextReader, type PlaintextSource } from '@sealfleet/format'
import { expectKey } from '@sealfleet/objects'
import { activeKeys, type ActiveKeys } from '@sealfleet/records/keys'

import { commitWhileLeased } from './commit-while-leased.js'
import type { AttemptDependencies, AttemptKind, AttemptOutcome, Claim, Plaintext, StoredObject } from './kind.js'
import { FencedError, Lease, LeaseExpiredError } from './lease.js'
import { messageOf } from './message.js'
import { newObject, planUpload, sealAndUpload, wrappedNoncesOf, type PlacedObject } from './seal-upload.js'
import { UnrecordedError } from './unrecorded-failures.js'

export interface AttemptOptions {
  /** Aborts when the job is cancelled or the worker stops; its reason says which. */
  readonly signal: AbortSignal
  readonly onProgress?: ((confirmed: number, total: number) => void) | undefined
}

/** An attempt under its claim. */
interface Held<C extends Claim> extends AttemptOptions {
  readonly claim: C
  readonly lease: Lease
  /** Called with the attempt's id as soon as its row exists, so that a failure can be recorded on it. */
  readonly onOpened: (attemptId: string) => void
}

/**
 * One attempt at storing a file, from claim to commit (docs/design/attempt.md).
 *
 * Never throws for what the closed list of failure codes knows: the failure is recorded in Postgres and returned with
 * the decision of its policy. It throws only when the database is out of reach: the claim was not answered, or (then an
 * UnrecordedError) its outcome could not be recorded, which the caller must do later. If it never does, the lease runs
 * out, the claim counts as a crash and another worker takes the file over.
 */
export async function runAttempt<C extends Claim, P extends Plaintext>(
  dependencies: AttemptDependencies,
  kind: AttemptKind<C, P>,
  options: AttemptOptions,
): Promise<AttemptOutcome> {
  await kind.step('claim', 'before')
  const claimed = await kind.claim()
  await kind.step('claim', 'after')
  return claimed.kind === 'claimed' ? underClaim(dependencies, kind, claimed.claim, options) : claimed
}

async function underClaim<C extends Claim, P extends Plaintext>(
  dependencies: AttemptDependencies,
  kind: AttemptKind<C, P>,
  claim: C,
  options: AttemptOptions,
): Promise<AttemptOutcome> {
  const obstacle = await kind.obstacle(claim)
  if (obstacle !== undefined) return recordFailure(kind, claim, undefined, obstacle)
  await using lease = new Lease({
    renew: () => kind.renew(claim),
    leaseSeconds: dependencies.leaseSeconds,
    renewEveryMs: dependencies.leaseRenewSeconds * 1000,
  })
  const signal = AbortSignal.any([lease.signal, options.signal])
  let attemptId: string | undefined
  const onOpened = (id: string): void => {
    attemptId = id
  }
  try {
    const object = await storeObject(dependencies, kind, { ...options, claim, lease, signal, onOpened })
    return { kind: 'stored', claim, object }
  } catch (error) {
    // The abort's reason is the cause; errors underneath (a closed socket, an aborted request) only follow from it.
    return await recordFailure(kind, claim, attemptId, signal.aborted ? signal.reason : error)
  } finally {
    await kind.step('wipe', 'after')
  }
}

/**
 * From the open plaintext to the committed record. Throws what stopped it (SourceError, FormatError, HsmError,
 * StoreError, RecordsError, FencedError, the signal's reason); then no record names the object, and remains in the store
 * belong to an attempt that maintenance can find. Keys, nonces and part buffers are wiped or released on every path.
 */
async function storeObject<C extends Claim, P extends Plaintext>(
  dependencies: AttemptDependencies,
  kind: AttemptKind<C, P>,
  held: Held<C>,
): Promise<StoredObject> {
  const { claim, signal } = held
  await kind.step('open', 'before')
  await using plaintext = await kind.open(claim, signal)
  await kind.step('open', 'after')

  // SOURCE_TOO_LARGE, before the first byte
  const plan = planUpload(dependencies.store, plaintext.length, claim.domain.segLog2)
  using _reserved = await dependencies.budget.acquire(plan.bufferBytes + plaintext.bufferBytes, signal)

  using object = await openAttempt(dependencies, kind, held, plaintext)
  held.onOpened(object.attemptId)
  const uploaded = await sealAndUpload(
    { ...dependencies, step: kind.step },
    {
      object,
      attemptNo: claim.attemptNo,
      segLog2: claim.domain.segLog2,
      context: plaintext.context,
      source: plaintext.source,
      plaintext: checkedToTheEnd(dependencies, kind, held, plaintext),
      plaintextLength: plaintext.length,
      plan,
      signal,
      onProgress: held.onProgress,
    },
  )

  await kind.step('commit', 'before')
  const { attemptId, fileId, objectKey, keys } = object
  const outcome = await commitWhileLeased(held, () =>
    kind.commit(claim, { attemptId, fileId, owner: kind.owner, ...uploaded }),
  )
  if (outcome === 'fenced') throw new FencedError('another attempt has the file; this one may not commit')
  await kind.step('commit', 'after')
  return {
    attemptId,
    objectKey,
    version: uploaded.objectVersion,
    plaintextLength: uploaded.plaintextLength,
    objectLength: uploaded.objectLength,
    encKeyVersion: keys.enc.version,
    sigKeyVersion: keys.sig.version,
  }
}

/** Fresh nonces, recorded before anything is derived from them. */
async function openAttempt<C extends Claim, P extends Plaintext>(
  dependencies: AttemptDependencies,
  kind: AttemptKind<C, P>,
  { claim, signal }: Held<C>,
  plaintext: P,
): Promise<PlacedObject> {
  await kind.step('nonces', 'before')
  const { fileId, attemptNo, domain } = claim
  const keys = await expectedKeys(dependencies, domain.id)
  const of = { fileId, domain: domain.id, keys, nonceMode: domain.nonceMode }
  const object = await newObject(of, async (made) => {
    const wrappedNonces = await wrappedNoncesOf(dependencies.hsm, made, signal)
    const { attemptId, objectKey, nonces } = made
    await kind.record(claim, plaintext, {
      attemptId,
      fileId,
      owner: kind.owner,
      attemptNo,
      suite: keys.enc.suite,
      segLog2: domain.segLog2,
      encKeyId: keys.enc.id,
      sigKeyId: keys.sig.id,
      nonceIdEnc: nonceId(nonces.nonceEnc),
      nonceIdSig: nonceId(nonces.nonceSig),
      ...(wrappedNonces === undefined ? nonces : { wrappedNonces, kekKeyId: keys.kek?.id }),
      bucket: dependencies.store.bucket,
      objectKey,
    })
  })
  await kind.step('nonces', 'after')
  return object
}

/** The keys of a new object; the pool uses no other keys under their labels. */
async function expectedKeys({ records, checkValues }: AttemptDependencies, domain: string): Promise<ActiveKeys> {
  const keys = await activeKeys(records, domain)
  for (const key of [keys.enc, keys.sig, keys.kek]) if (key !== undefined) expectKey(checkValues, key)
  return keys
}

/**
 * The plaintext, and at its end the last checks. The sealer asks for the end before it writes the trailer, which is in
 * the last part: so the store cannot complete an object whose plaintext was not right to its end.
 */
function checkedToTheEnd<C extends Claim, P extends Plaintext>(
  { moved }: AttemptDependencies,
  kind: AttemptKind<C, P>,
  { lease, signal }: Held<C>,
  plaintext: P,
): PlaintextSource {
  const check = async (): Promise<void> => {
    await kind.step('upload', 'after')
    await plaintext.check?.()
    lease.assertHeld()
    await kind.step('complete', 'before')
  }
  const source = plaintext.read(signal)
  return 'read' in source ? checkedReader(source, check, moved) : checkedChunks(source, check, moved)
}

function checkedReader(reader: PlaintextReader, check: () => Promise<void>, moved?: () => void): PlaintextReader {
  return {
    async read(target) {
      const taken = await reader.read(target)
      moved?.()
      if (taken === 0) await check()
      return taken
    },
  }
}

async function* checkedChunks(
  chunks: AsyncIterable<Uint8Array>,
  check: () => Promise<void>,
  moved?: () => void,
): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const chunk of chunks) {
    moved?.()
    yield chunk
  }
  await check()
}

async function recordFailure<C extends Claim, P extends Plaintext>(
  kind: AttemptKind<C, P>,
  claim: C,
  attemptId: string | undefined,
  error: unknown,
): Promise<AttemptOutcome> {
  const failed = classify(error)
  const fenced = failed.code === 'FENCED'
  if (fenced && !kind.recordsFence && !(error instanceof LeaseExpiredError)) return { kind: 'fenced', claim }
  const { code, failure } = failed
  const end = { attemptId, code, class: failure.class, message: messageOf(failed, error) }
  try {
    const decision = decide(failure, await kind.history(claim, code))
    const recorded = await kind.fail(claim, { ...end, disposition: dispositionOf(decision), decision })
    if (recorded === 'fenced' || fenced) return { kind: 'fenced', claim }
    return { kind: 'failed', claim, failed, error, decision }
  } catch (cause) {
    // It does not count as an attempt: the outage came first.
    const release = () => kind.fail(claim, { ...end, disposition: 'release', decision: undefined })
    throw new UnrecordedError({ owner: kind.owner, record: release }, { cause })
  }
}

function dispositionOf({ action }: Decision): 'retry' | 'dead' | 'release' {
  return action === 'dead' || action === 'retry' ? action : 'release'
}
