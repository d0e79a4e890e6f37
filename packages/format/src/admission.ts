/**
 * Steps 0 to 6 of opening (docs/design/format.md §7), shared by a reader, a range reader and an auditor: all checks that need
 * no call of the encryption master.
 */
import { deriveSigningKey, masterKeyOf } from './derivation.js'
import { FormatError } from './errors.js'
import { checkContext, checkHeaderTag, logicalHeader } from './header.js'
import { type Inspected, readHeader } from './inspect.js'
import { areUsableNonces } from './nonce.js'
import { unwrapNonces } from './nonce-record.js'
import { type ObjectReader, readPiece } from './reader.js'
import { type RecordView, checkRecord } from './record-view.js'
import { secretCopy, wipe } from './secret.js'
import { TRAILER_LENGTH } from './sizes.js'
import {
  type Cancellable,
  type KeyDeriver,
  MAX_CONTEXT_LENGTH,
  type MasterKeyRef,
  type NoncePair,
  type NonceWrapper,
  type Suite,
} from './terms.js'
import { type Trailer, checkTrailer } from './trailer.js'
import { isUuid } from './uuid.js'

export interface OpenOptions extends Cancellable {
  readonly keys: KeyDeriver
  /** The bytes that the caller bound to the file; `'unchecked'` if they are not at hand, which the result reports. */
  readonly context: Uint8Array | 'unchecked'
  /** Refuses the object of any other file: E_WRONG_FILE. */
  readonly expectedFileId?: string | undefined
  /** Both by default. */
  readonly allowedSuites?: readonly Suite[] | undefined
  /** The database's record of this object. */
  readonly record?: RecordView | undefined
  /** Detached objects: the wrapped nonces from the record, and the unwrapper. */
  readonly wrappedNonces?: { readonly wrapped: Uint8Array; readonly kekVersion: number } | undefined
  readonly unwrapper?: NonceWrapper | undefined
  /** Detached objects: the nonces themselves, for an auditor who does not unwrap them himself. */
  readonly nonces?: NoncePair | undefined
  /** The known state of a master key, checked before the HSM is called; by default no key is excluded. */
  readonly keyState?: ((key: MasterKeyRef) => Promise<'usable' | 'unknown' | 'destroyed'>) | undefined
}

/** An object whose header and trailer are genuine. Its holder wipes it. */
export interface Admitted extends Inspected {
  readonly nonces: NoncePair<Buffer>
  /** H with the real nonces. */
  readonly logical: Buffer
  readonly signingKey: Buffer
  readonly trailer: Trailer
}

/** The master keys that the caller is going to use. */
export type Use = 'open' | 'verify'

export async function admit(reader: ObjectReader, options: OpenOptions, use: Use): Promise<Admitted> {
  checkPolicy(options)
  options.signal?.throwIfAborted()
  const inspected = await readHeader(reader, options)
  const { header, geometry } = inspected
  checkExpectations(inspected, options)
  if (options.record) checkRecord(options.record, header, geometry)
  await checkKeyStates(inspected, options, use)
  const nonces = await realNonces(inspected, options)
  let logical: Buffer | undefined
  let signingKey: Buffer | undefined
  try {
    logical = logicalHeader(header, nonces)
    signingKey = await deriveSigningKey(options.keys, { ...inspected.info, ...nonces }, options)
    checkHeaderTag(signingKey, header, logical)
    if (options.context !== 'unchecked') checkContext(signingKey, header, options.context)
    const end = await readPiece(reader, geometry.objectLength - TRAILER_LENGTH, TRAILER_LENGTH, options)
    const trailer = checkTrailer(end, signingKey, header.headerTag, geometry, options.record?.fmac)
    return { ...inspected, nonces, logical, signingKey, trailer }
  } catch (error) {
    wipe(nonces.nonceEnc, nonces.nonceSig, logical, signingKey)
    throw error
  }
}

export function wipeAdmitted(admitted: Admitted): void {
  wipe(admitted.nonces.nonceEnc, admitted.nonces.nonceSig, admitted.logical, admitted.signingKey)
}

function checkPolicy(options: OpenOptions): void {
  if (options.context !== 'unchecked' && options.context.length > MAX_CONTEXT_LENGTH) {
    throw new RangeError(`a context has at most ${MAX_CONTEXT_LENGTH} bytes, not ${options.context.length}`)
  }
  if (options.expectedFileId !== undefined && !isUuid(options.expectedFileId)) {
    throw new TypeError('expectedFileId must be a lower-case UUID with dashes')
  }
}

function checkExpectations({ header }: Inspected, options: OpenOptions): void {
  if (options.allowedSuites && !options.allowedSuites.includes(header.suite)) {
    throw new FormatError('E_UNSUPPORTED', `suite ${header.suite} is excluded by policy`)
  }
  if (options.expectedFileId !== undefined && header.fileId !== options.expectedFileId) {
    throw new FormatError('E_WRONG_FILE', `this is file ${header.fileId}, not ${options.expectedFileId}`)
  }
}

async function checkKeyStates({ header }: Inspected, options: OpenOptions, use: Use): Promise<void> {
  if (!options.keyState) return
  const needed = [masterKeyOf(header, 'sig')]
  if (use === 'open') needed.push(masterKeyOf(header, 'enc'))
  for (const key of needed) await checkKeyState(key, options.keyState)
}

async function checkKeyState(key: MasterKeyRef, keyState: NonNullable<OpenOptions['keyState']>): Promise<void> {
  const state = await keyState(key)
  if (state === 'usable') return
  const name = `${key.role} master key ${key.version} of domain ${key.domain}`
  if (state === 'destroyed') throw new FormatError('E_KEY_DESTROYED', `${name} was destroyed`)
  throw new FormatError('E_KEY_UNKNOWN', `${name} is not known`)
}

/** The nonces, in our own memory: from the header, from the caller, or unwrapped. */
async function realNonces({ header, info }: Inspected, options: OpenOptions): Promise<NoncePair<Buffer>> {
  if (header.nonces) return copyOf(header.nonces)
  if (options.nonces) {
    if (!areUsableNonces(options.nonces.nonceEnc, options.nonces.nonceSig)) {
      throw new TypeError('nonces have 32 bytes, differ, and are neither all zero nor the reserved one')
    }
    return copyOf(options.nonces)
  }
  if (!options.wrappedNonces || !options.unwrapper) {
    throw new FormatError('E_NONCES_ABSENT', 'the nonces of this object are kept in its record, and were not given')
  }
  const { wrapped, kekVersion } = options.wrappedNonces
  if (options.keyState) {
    await checkKeyState({ role: 'kek', domain: header.keyDomain, suite: 1, version: kekVersion }, options.keyState)
  }
  return unwrapNonces(options.unwrapper, kekVersion, info, wrapped, options)
}

function copyOf(nonces: NoncePair): NoncePair<Buffer> {
  return { nonceEnc: secretCopy(nonces.nonceEnc), nonceSig: secretCopy(nonces.nonceSig) }
}
