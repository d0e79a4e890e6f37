/** Sealed objects for tests: one attempt, its masters, and everything needed to open it again. */
import type { OpenOptions } from '../src/admission.js'
import type { RecordView } from '../src/record-view.js'
import { type SealOptions, createSealer } from '../src/seal.js'
import { bufferReader } from '../src/reader.js'
import { inspectObject } from '../src/inspect.js'
import { openObject } from '../src/open.js'
import { wrapNonces } from '../src/nonce-record.js'
import { collect, patternBytes } from './bytes.js'
import { SoftwareHsm, type SoftwareMasters } from './software-hsm.js'

export const S = 2 ** 16
export const FILE_ID = '0190b3c0-0000-7000-8000-000000000001'
export const ATTEMPT_ID = '0190b3c0-0000-7000-8000-000000000002'
export const OTHER_ID = '0190b3c0-0000-7000-8000-0000000000ff'
export const CONTEXT = Buffer.from('invoice 4711')

/** Enough for most: lengths around the block, the segment and the second segment. */
export const BOUNDARIES = [0, 1, 15, 16, 17, S - 1, S, S + 1, 2 * S, 2 * S + 1]

export const MASTERS: SoftwareMasters = {
  enc: Buffer.alloc(32, 0x11),
  sig: Buffer.alloc(32, 0x22),
  kek: Buffer.alloc(32, 0x33),
}

export const ATTEMPT: SealOptions = {
  suite: 1,
  fileId: FILE_ID,
  attemptId: ATTEMPT_ID,
  attemptNo: 5,
  encKeyVersion: 7,
  sigKeyVersion: 3,
  kekVersion: 0,
  segLog2: 16,
  nonceEnc: Buffer.alloc(32, 0xa5),
  nonceSig: Buffer.alloc(32, 0x5a),
  context: CONTEXT,
  createdMs: 1_767_225_600_000,
  keyDomain: 'default',
}

export interface Fixture {
  readonly attempt: SealOptions
  readonly hsm: SoftwareHsm
  readonly plaintext: Buffer
  readonly bytes: Buffer
  readonly opening: OpenOptions
}

/** Seals `length` bytes of the pattern. */
export async function sealed(
  length: number,
  overrides: Partial<SealOptions> = {},
  masters: Partial<SoftwareMasters> = {},
): Promise<Fixture> {
  const attempt = { ...ATTEMPT, ...overrides }
  const hsm = new SoftwareHsm({ ...MASTERS, ...masters })
  const plaintext = patternBytes(length)
  using sealer = await createSealer(attempt, hsm)
  const bytes = await collect(sealer.seal([plaintext], { chunkSize: 2 ** 20, plaintextLength: length }))
  const opening: OpenOptions = { keys: hsm, context: attempt.context, expectedFileId: attempt.fileId }
  if (attempt.kekVersion === 0) return { attempt, hsm, plaintext, bytes, opening }
  const wrapped = await wrapNonces(hsm, attempt.kekVersion, attempt, attempt)
  const wrappedNonces = { wrapped, kekVersion: attempt.kekVersion }
  return { attempt, hsm, plaintext, bytes, opening: { ...opening, wrappedNonces, unwrapper: hsm } }
}

/** Opens and reads everything; or throws. */
export async function openAll(bytes: Uint8Array, opening: OpenOptions): Promise<Buffer> {
  using object = await openObject(bufferReader(bytes), opening)
  return await collect(object.readAll())
}

/** The code of the error that `attempt` ends in; 'none' when it succeeds. Other errors are thrown on. */
export async function codeOf(attempt: Promise<unknown>): Promise<string> {
  try {
    await attempt
    return 'none'
  } catch (error) {
    if (error instanceof Error && 'code' in error && typeof error.code === 'string') return error.code
    throw error
  }
}

export function flipBit(bytes: Buffer, bit: number): Buffer {
  const flipped = Buffer.from(bytes)
  const at = bit >> 3
  flipped.writeUInt8(flipped.readUInt8(at) ^ (1 << (bit & 7)), at)
  return flipped
}

/** What a truthful record says of the fixture. */
export async function recordOf(fixture: Fixture): Promise<RecordView> {
  const info = await inspectObject(bufferReader(fixture.bytes))
  const { fileId, attemptId, attemptNo, suite, segLog2, encKeyVersion, sigKeyVersion, keyDomain } = fixture.attempt
  return {
    fileId,
    attemptId,
    attemptNo,
    suite,
    segLog2,
    nonceMode: info.nonceMode,
    encKeyVersion,
    sigKeyVersion,
    keyDomain,
    nonceEnc: info.nonceEnc ?? undefined,
    nonceSig: info.nonceSig ?? undefined,
    objectLength: fixture.bytes.length,
    plaintextLength: fixture.plaintext.length,
    htag: info.htag,
    fmac: fixture.bytes.subarray(-32),
  }
}
