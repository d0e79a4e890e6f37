import { createSealer, freshNonces, objectLength, wrapNonces, type SealResult } from '@sealfleet/format'
import { classify } from '@sealfleet/jobs'
import { objectMetadata, type PutResult } from '@sealfleet/store'
import { setTimeout } from 'node:timers/promises'

import { assertUnchanged, fingerprintJson, openSource, type Source } from '../source/open-source.js'
import { readSource } from '../source/read-source.js'
import { FencedError, type Lease } from './lease.js'
import { PartPool } from './part-pool.js'
import type { ActiveKeys, Claim, ClaimRequest, CommitInput, IngestPorts } from './ports.js'

/** What became of the file. */
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
  /** Told the attempt's id as soon as its row exists, so that a failure can be recorded on it. */
  readonly onOpened: (attemptId: string) => void
}

/**
 * Steps 2 to 8 of an attempt, under a claim: from the open source to the committed record.
 *
 * Returns when the file is STORED. Throws whatever stopped it (SourceError, HsmError, StoreError, RecordsError,
 * FencedError, the signal's reason); then no record names the object, and what may lie in the store belongs to an
 * attempt that maintenance can find. Keys and part buffers are wiped or released on every path.
 */
export async function storeFile(ports: IngestPorts, options: StoreFileOptions): Promise<StoredObject> {
  const { request, claim, signal } = options
  await ports.step('open-source', 'before')
  await using source = await openSource(ports.roots, { root: request.root, path: request.path })
  await ports.step('open-source', 'after')

  const length = objectLength(source.size, claim.segLog2)
  const partSize = ports.store.partSizeFor(length) // SOURCE_TOO_LARGE, before the first byte
  const buffers = Math.min(ports.store.queueSizeFor(length) + 1, Math.ceil(length / partSize))
  using _reserved = await ports.budget.acquire(buffers * Math.min(partSize, length), signal)

  const attempt = await openAttempt(ports, options, source)
  options.onOpened(attempt.id)
  const { sealed, put } = await sealAndUpload(ports, options, source, attempt, { length, partSize })

  await ports.step('commit', 'before')
  const outcome = await commitWhileLeased(ports, options, {
    attemptId: attempt.id,
    fileId: request.fileId,
    owner: request.owner,
    objectVersion: put.version,
    etag: put.etag,
    objectLength: sealed.objectLength,
    plaintextLength: sealed.plaintextLength,
    htag: sealed.htag,
    fmac: sealed.fmac,
  })
  if (outcome === 'fenced') throw new FencedError('another attempt has the file; this one may not commit')
  await ports.step('commit', 'after')
  return {
    attemptId: attempt.id,
    objectKey: attempt.objectKey,
    version: put.version,
    plaintextLength: sealed.plaintextLength,
    objectLength: sealed.objectLength,
    encKeyVersion: attempt.keys.enc.version,
    sigKeyVersion: attempt.keys.sig.version,
  }
}

/** Between two tries of a commit that the database did not answer, milliseconds. */
const COMMIT_RETRY_MS = 500

/**
 * Step 8. The object is whole in the store, so a database that is out of reach for a moment must not cost all that work:
 * the commit is idempotent and is asked for again as long as the lease may hold. An answer that was lost shows up as
 * `already`.
 */
async function commitWhileLeased(
  ports: IngestPorts,
  { lease, signal }: StoreFileOptions,
  input: CommitInput,
): Promise<'committed' | 'already' | 'fenced'> {
  for (;;) {
    lease.assertHeld()
    try {
      return await ports.records.commit(input)
    } catch (error) {
      if (classify(error).code !== 'DB_UNAVAILABLE') throw error
      await setTimeout(COMMIT_RETRY_MS, undefined, { signal })
    }
  }
}

interface Attempt {
  readonly id: string
  readonly objectKey: string
  readonly keys: ActiveKeys
  readonly nonceEnc: Buffer
  readonly nonceSig: Buffer
}

/** Step 3: fresh nonces, recorded before anything is derived from them. */
async function openAttempt(ports: IngestPorts, options: StoreFileOptions, source: Source): Promise<Attempt> {
  const { request, claim, signal } = options
  await ports.step('nonces', 'before')
  const keys = await ports.records.activeKeys(claim.domain)
  const id = ports.newId()
  const objectKey = `${claim.domain}/${request.fileId}/${id}`
  const nonces = freshNonces()
  const identity = { ...headerIdentity(request, claim, keys), attemptId: id }
  const wrappedNonces =
    claim.nonceMode === 'detached' ? await wrapNonces(ports.hsm, kekOf(keys), identity, nonces, { signal }) : undefined
  await ports.records.openAttempt({
    attemptId: id,
    fileId: request.fileId,
    owner: request.owner,
    claim,
    keys,
    ...nonces,
    ...(wrappedNonces !== undefined && { wrappedNonces }),
    sourceFingerprint: fingerprintJson(source.fingerprint),
    bucket: ports.store.bucket,
    objectKey,
  })
  await ports.step('nonces', 'after')
  return { id, objectKey, keys, ...nonces }
}

/** Steps 4 to 7: derive, seal and upload; look at the source again before the last part; complete. */
async function sealAndUpload(
  ports: IngestPorts,
  options: StoreFileOptions,
  source: Source,
  attempt: Attempt,
  sizes: { readonly length: number; readonly partSize: number },
): Promise<{ sealed: SealResult; put: PutResult }> {
  const { request, claim, signal } = options
  await ports.step('derive', 'before')
  using sealer = await createSealer(
    {
      ...headerIdentity(request, claim, attempt.keys),
      attemptId: attempt.id,
      attemptNo: claim.attemptNo,
      kekVersion: claim.nonceMode === 'detached' ? kekOf(attempt.keys) : 0,
      segLog2: claim.segLog2,
      nonceEnc: attempt.nonceEnc,
      nonceSig: attempt.nonceSig,
      context: request.context,
      createdMs: ports.nowMs(),
    },
    ports.hsm,
    { signal },
  )
  await ports.step('derive', 'after')
  await ports.step('upload', 'before')
  const pool = new PartPool(Math.min(sizes.partSize, sizes.length))
  const parts = sealer.seal(checkedToTheEnd(ports, options, source), {
    chunkSize: sizes.partSize,
    plaintextLength: source.size,
    allocate: (size) => pool.allocate(size),
    signal,
  })
  const put = await ports.store.put({
    key: attempt.objectKey,
    body: parts,
    length: sizes.length,
    metadata: objectMetadata({ fileId: request.fileId, attemptId: attempt.id, context: request.context }),
    signal,
    onPartSettled: (part) => {
      ports.moved?.()
      pool.release(part)
    },
    ...(options.onProgress !== undefined && {
      onProgress: ({ confirmed, total }) => options.onProgress?.(confirmed, total),
    }),
  })
  await ports.step('complete', 'after')
  return { sealed: sealer.result(), put }
}

/**
 * The source's bytes, and at their end step 6. The sealer asks for the end before it writes the trailer, which is in the
 * last part: so the store can't complete an object whose source turned out to have changed.
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

function headerIdentity(request: ClaimRequest, claim: Claim, keys: ActiveKeys) {
  return {
    suite: keys.enc.suite,
    fileId: request.fileId,
    encKeyVersion: keys.enc.version,
    sigKeyVersion: keys.sig.version,
    keyDomain: claim.domain,
  }
}

function kekOf(keys: ActiveKeys): number {
  if (keys.kek === undefined) throw new Error('a domain with detached nonces has no KEK among its active keys')
  return keys.kek.version
}
