import { assertUnchanged, fingerprintJson, openSource, type Source } from './source/open-source.js'
import { readSource } from './source/read-source.js'
import { commitWhileLeased } from './commit-while-leased.js'
import { FencedError, type Lease } from './lease.js'
import type { Claim, ClaimRequest, CommitInput, IngestPorts } from './ports.js'
import { newObject, planUpload, sealAndUpload, wrappedNoncesOf } from './seal-upload.js'

/** The outcome for the file. */
export interface StoredObject {
  readonly attemptId: string
  readonly objectKey: string
  readonly version: string | undefined
  readonly plaintextLength: number
  readonly objectLength: number
  readonly encKeyVersion: number
  readonly sigKeyVersion: number
}

export interface StoreFileOptions {
  readonly request: ClaimRequest
  readonly claim: Claim
  readonly lease: Lease
  /** Aborts on a lost lease, a cancelled job or a shutdown. */
  readonly signal: AbortSignal
  readonly onProgress?: ((confirmed: number, total: number) => void) | undefined
  /** Called with the attempt's id as soon as its row exists, so that a failure can be recorded on it. */
  readonly onOpened: (attemptId: string) => void
}

/**
 * Steps 2 to 8 of an attempt, under a claim: from the open source to the committed record.
 *
 * Returns when the file is STORED. Throws what stopped it (SourceError, HsmError, StoreError, RecordsError,
 * FencedError, the signal's reason); then no record names the object, and remains in the store belong to an
 * attempt that maintenance can find. Keys, nonces and part buffers are wiped or released on every path.
 */
export async function storeFile(ports: IngestPorts, options: StoreFileOptions): Promise<StoredObject> {
  const { request, claim, signal } = options
  await ports.step('open-source', 'before')
  await using source = await openSource(ports.roots, { root: request.root, path: request.path })
  await ports.step('open-source', 'after')

  const plan = planUpload(ports.store, source.size, claim.segLog2) // SOURCE_TOO_LARGE, before the first byte
  using _reserved = await ports.budget.acquire(plan.bufferBytes, signal)

  using object = await openAttempt(ports, options, source)
  options.onOpened(object.attemptId)
  const made = await sealAndUpload(ports, {
    object,
    attemptNo: claim.attemptNo,
    segLog2: claim.segLog2,
    context: request.context,
    source: { root: request.root, path: request.path },
    plaintext: checkedToTheEnd(ports, options, source),
    plaintextLength: source.size,
    plan,
    signal,
    onProgress: options.onProgress,
  })

  await ports.step('commit', 'before')
  const input: CommitInput = {
    attemptId: object.attemptId,
    fileId: request.fileId,
    owner: request.owner,
    ...made,
  }
  const outcome = await commitWhileLeased(options, () => ports.records.commit(input))
  if (outcome === 'fenced') throw new FencedError('another attempt has the file; this one may not commit')
  await ports.step('commit', 'after')
  return {
    attemptId: object.attemptId,
    objectKey: object.objectKey,
    version: made.objectVersion,
    plaintextLength: made.plaintextLength,
    objectLength: made.objectLength,
    encKeyVersion: object.keys.enc.version,
    sigKeyVersion: object.keys.sig.version,
  }
}

/** Step 3: fresh nonces, recorded before anything is derived from them. */
async function openAttempt(ports: IngestPorts, { request, claim, signal }: StoreFileOptions, source: Source) {
  await ports.step('nonces', 'before')
  const keys = await ports.records.activeKeys(claim.domain)
  const { fileId } = request
  const of = { fileId, domain: claim.domain, keys, nonceMode: claim.nonceMode }
  const object = await newObject(ports.newId, of, async (made) => {
    const wrappedNonces = await wrappedNoncesOf(ports.hsm, made, signal)
    await ports.records.openAttempt({
      attemptId: made.attemptId,
      fileId,
      owner: request.owner,
      claim,
      keys,
      ...made.nonces,
      ...(wrappedNonces !== undefined && { wrappedNonces }),
      sourceFingerprint: fingerprintJson(source.fingerprint),
      bucket: ports.store.bucket,
      objectKey: made.objectKey,
    })
  })
  await ports.step('nonces', 'after')
  return object
}

/**
 * The source's bytes, and at their end step 6. The sealer asks for the end before it writes the trailer, which is in the
 * last part: so the store cannot complete an object whose source has changed.
 */
async function* checkedToTheEnd(
  ports: IngestPorts,
  { lease, signal }: StoreFileOptions,
  source: Source,
): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const chunk of readSource(source, signal)) {
    ports.moved?.()
    yield chunk
  }
  await ports.step('upload', 'after')
  await ports.step('check-source', 'before')
  await assertUnchanged(source)
  lease.assertHeld()
  await ports.step('check-source', 'after')
  await ports.step('complete', 'before')
}
