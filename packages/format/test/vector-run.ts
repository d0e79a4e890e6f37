/** One vector: seal it and compare every intermediate that is given, then open it, then verify it. */
import { createHash } from 'node:crypto'
import { mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type ObjectReader, bufferReader } from '../src/reader.js'
import type { OpenOptions } from '../src/admission.js'
import { type SealOptions, type Sealer, createSealer } from '../src/seal.js'
import { fileReader } from '../src/file-reader.js'
import { objectLength, segmentCount, segmentSize } from '../src/sizes.js'
import { openObject } from '../src/open.js'
import { verifyObject } from '../src/verify.js'
import { wrapNonces } from '../src/nonce-record.js'
import { aesKeyOf, deriveDataKey, deriveSigningKey, initialCounterOf } from '../src/derivation.js'
import { AT } from '../src/header.js'
import { readPiece } from '../src/reader.js'
import { keyDomainFromBytes, uuidFromBytes } from '../src/uuid.js'
import { pattern } from './bytes.js'
import { SoftwareHsm } from './software-hsm.js'
import { EXPECTED_BYTES, EXPECTED_NUMBERS, type Observed, type Vector } from './vector-file.js'

const CHUNK_SIZE = 8 * 2 ** 20
/** Longer objects go through a temporary file, so that memory does not grow with `pt_len`. */
const IN_MEMORY = 64 * 2 ** 20
/** The vectors name no KEK: what is wrapped stays within one run. */
const KEK = Buffer.alloc(32, 0x6b)

function sealOptions(vector: Vector): SealOptions {
  if (vector.flags > 1) throw new Error(`flags ${vector.flags} are not known`)
  if ((vector.kekVersion !== 0) !== (vector.flags === 1)) throw new Error('kek must be 0 exactly when flags is 0')
  return {
    suite: vector.suite,
    fileId: uuidFromBytes(vector.fileId),
    attemptId: uuidFromBytes(vector.attemptId),
    attemptNo: 0,
    encKeyVersion: vector.encKeyVersion,
    sigKeyVersion: vector.sigKeyVersion,
    kekVersion: vector.kekVersion,
    segLog2: vector.segLog2,
    nonceEnc: vector.nonceEnc,
    nonceSig: vector.nonceSig,
    context: vector.context,
    createdMs: vector.createdMs,
    keyDomain: keyDomainFromBytes(vector.keyDomain),
  }
}

function plaintextOf(vector: Vector): Iterable<Buffer> {
  return vector.plaintext === null ? pattern(vector.plaintextLength) : [vector.plaintext]
}

interface Sealed extends AsyncDisposable {
  readonly reader: ObjectReader
  readonly sha256: string
}

/** L is given or not: two paths, one encoding. */
function sealing(sealer: Sealer, vector: Vector, known: boolean): AsyncGenerator<Buffer, void, void> {
  const options = known ? { plaintextLength: vector.plaintextLength } : {}
  return sealer.seal(plaintextOf(vector), { chunkSize: CHUNK_SIZE, ...options })
}

async function sealToMemory(sealer: Sealer, vector: Vector, known: boolean): Promise<Sealed> {
  const sha256 = createHash('sha256')
  const chunks: Buffer[] = []
  for await (const chunk of sealing(sealer, vector, known)) {
    sha256.update(chunk)
    chunks.push(chunk)
  }
  const reader = bufferReader(Buffer.concat(chunks))
  return { reader, sha256: sha256.digest('hex'), [Symbol.asyncDispose]: () => Promise.resolve() }
}

async function sealToFile(sealer: Sealer, vector: Vector, known: boolean): Promise<Sealed> {
  const folder = await mkdtemp(join(tmpdir(), 'sealfleet-vectors-'))
  try {
    const path = join(folder, 'object')
    const sha256 = createHash('sha256')
    const file = await open(path, 'wx')
    try {
      for await (const chunk of sealing(sealer, vector, known)) {
        sha256.update(chunk)
        await file.writeFile(chunk)
      }
    } finally {
      await file.close()
    }
    const reader = await fileReader(path)
    const dispose = async () => {
      await reader.close()
      await rm(folder, { recursive: true })
    }
    return { reader, sha256: sha256.digest('hex'), [Symbol.asyncDispose]: dispose }
  } catch (error) {
    await rm(folder, { recursive: true })
    throw error
  }
}

async function observe(vector: Vector, options: SealOptions, hsm: SoftwareHsm, sealed: Sealed): Promise<Observed> {
  const { reader } = sealed
  const dataKey = await deriveDataKey(hsm, options)
  const signingKey = await deriveSigningKey(hsm, options)
  const header = await readPiece(reader, 0, 320)
  const trailer = await readPiece(reader, reader.length - 96, 96)
  const firstLength = Math.min(vector.plaintextLength, segmentSize(vector.segLog2))
  return {
    dk: dataKey.toString('hex'),
    aes_key: aesKeyOf(vector.suite, dataKey).toString('hex'),
    iv: initialCounterOf(vector.suite, dataKey).toString('hex'),
    k_sig: signingKey.toString('hex'),
    kc: header.subarray(AT.keyCommit, AT.headerTag).toString('hex'),
    htag: header.subarray(AT.headerTag).toString('hex'),
    first_tag: (await readPiece(reader, 320 + firstLength, 32)).toString('hex'),
    tags_digest: trailer.subarray(32, 64).toString('hex'),
    fmac: trailer.subarray(64).toString('hex'),
    n: Number(trailer.readBigUInt64BE(16)),
    object_len: reader.length,
    object_sha256: sealed.sha256,
  }
}

function compare(vector: Vector, observed: Observed): void {
  for (const key of [...EXPECTED_BYTES, ...EXPECTED_NUMBERS]) {
    const wanted = vector.expected[key]
    if (wanted !== undefined && wanted !== observed[key]) {
      throw new Error(`${key} is ${observed[key]}, expected ${wanted}`)
    }
  }
  if (observed.n !== segmentCount(vector.plaintextLength, vector.segLog2)) throw new Error('wrong number of segments')
  if (observed.object_len !== objectLength(vector.plaintextLength, vector.segLog2)) throw new Error('wrong length')
}

async function openOptions(vector: Vector, options: SealOptions, hsm: SoftwareHsm): Promise<OpenOptions> {
  const opening: OpenOptions = { keys: hsm, context: vector.context, expectedFileId: options.fileId }
  if (vector.flags === 0) return opening
  const kekVersion = vector.kekVersion
  const wrapped = await wrapNonces(hsm, kekVersion, options, options)
  return { ...opening, wrappedNonces: { wrapped, kekVersion }, unwrapper: hsm }
}

async function checkPlaintext(vector: Vector, reader: ObjectReader, options: OpenOptions): Promise<void> {
  const right = createHash('sha256')
  for (const chunk of plaintextOf(vector)) right.update(chunk)
  const opened = createHash('sha256')
  let length = 0
  using object = await openObject(reader, options)
  for await (const chunk of object.readAll()) {
    opened.update(chunk)
    length += chunk.length
  }
  if (length !== vector.plaintextLength) throw new Error(`opened to ${length} bytes, not ${vector.plaintextLength}`)
  if (!opened.digest().equals(right.digest())) throw new Error('opened to other bytes than were sealed')
}

/** Resolves when the vector holds; throws an Error that says what does not. */
export async function runVector(vector: Vector): Promise<void> {
  const hsm = new SoftwareHsm({
    enc: vector.masterEnc,
    sig: vector.masterSig,
    kek: KEK,
    mockEncOutput: vector.mockEncOutput,
  })
  const options = sealOptions(vector)
  const long = objectLength(vector.plaintextLength, vector.segLog2) > IN_MEMORY
  for (const known of [false, true]) {
    using sealer = await createSealer(options, hsm)
    await using sealed = await (long ? sealToFile : sealToMemory)(sealer, vector, known)
    compare(vector, await observe(vector, options, hsm, sealed))
    const opening = await openOptions(vector, options, hsm)
    await checkPlaintext(vector, sealed.reader, opening)
    await verifyObject(sealed.reader, opening)
  }
}
