/**
 * The header: 320 bytes, of which the first 256 are H (docs/design/format.md §4). In every HMAC, H is the *logical* header:
 * its nonce fields hold the real nonces even when the wire holds zeros.
 */
import { FormatError } from './errors.js'
import { checkU32, readU64, writeU64 } from './integers.js'
import { mac, macMatches } from './mac.js'
import { NONCE_LENGTH, areUsableNonces } from './nonce.js'
import { dedicated, dedicatedCopy, isZero } from './secret.js'
import { HEADER_LENGTH, MAX_SEG_LOG2, MIN_SEG_LOG2, TAG_LENGTH, segmentSize } from './sizes.js'
import type { AttemptIdentity, NoncePair, Suite } from './terms.js'
import { keyDomainFromBytes, keyDomainToBytes, uuidFromBytes, uuidToBytes } from './uuid.js'

export const MAGIC = Buffer.from('89534656310d0a1a', 'hex')
export const FORMAT_VERSION = 1
/** Length of H, the part of the header that its tags cover. */
export const LOGICAL_HEADER_LENGTH = 256

/** Where each field starts. */
export const AT = {
  magic: 0x000,
  formatVersion: 0x008,
  suite: 0x00a,
  headerLength: 0x00c,
  fileId: 0x010,
  attemptId: 0x020,
  encKeyVersion: 0x030,
  sigKeyVersion: 0x034,
  kekVersion: 0x038,
  segLog2: 0x03c,
  flags: 0x03d,
  reserved1: 0x03e,
  nonceEnc: 0x040,
  nonceSig: 0x060,
  contextTag: 0x080,
  createdMs: 0x0a0,
  keyDomain: 0x0a8,
  attemptNo: 0x0b8,
  reserved2: 0x0bc,
  keyCommit: 0x100,
  headerTag: 0x120,
} as const

const FLAG_DETACHED = 1

/** A header's data on its attempt; not authenticated until HTAG is. */
export interface HeaderFields extends AttemptIdentity {
  /** Strictly increasing per file; 0 = unspecified. */
  readonly attemptNo: number
  /** 0 exactly when the nonces are inline; else the KEK's version at the time of sealing. */
  readonly kekVersion: number
  readonly segLog2: number
  /** Unix milliseconds; informational, decides nothing. */
  readonly createdMs: number
}

/** A header that passed the strict parse. */
export interface ParsedHeader extends HeaderFields {
  readonly detached: boolean
  /** `null` when detached. */
  readonly nonces: NoncePair<Buffer> | null
  readonly contextTag: Buffer
  readonly keyCommit: Buffer
  readonly headerTag: Buffer
  /** All 320 bytes as they were read. */
  readonly wire: Buffer
}

/** H with real nonces, in its own buffer. Throws RangeError or TypeError for values that no header can hold. */
export function encodeLogicalHeader(fields: HeaderFields, nonces: NoncePair, contextTag: Uint8Array): Buffer {
  checkU32(fields.encKeyVersion, 'encKeyVersion', 1)
  checkU32(fields.sigKeyVersion, 'sigKeyVersion', 1)
  checkU32(fields.kekVersion, 'kekVersion')
  checkU32(fields.attemptNo, 'attemptNo')
  segmentSize(fields.segLog2)
  const h = dedicated(LOGICAL_HEADER_LENGTH)
  h.set(MAGIC, AT.magic)
  h.writeUInt16BE(FORMAT_VERSION, AT.formatVersion)
  h.writeUInt16BE(fields.suite, AT.suite)
  h.writeUInt32BE(HEADER_LENGTH, AT.headerLength)
  h.set(uuidToBytes(fields.fileId, 'fileId'), AT.fileId)
  h.set(uuidToBytes(fields.attemptId, 'attemptId'), AT.attemptId)
  h.writeUInt32BE(fields.encKeyVersion, AT.encKeyVersion)
  h.writeUInt32BE(fields.sigKeyVersion, AT.sigKeyVersion)
  h.writeUInt32BE(fields.kekVersion, AT.kekVersion)
  h.writeUInt8(fields.segLog2, AT.segLog2)
  h.writeUInt8(fields.kekVersion === 0 ? 0 : FLAG_DETACHED, AT.flags)
  h.set(nonces.nonceEnc, AT.nonceEnc)
  h.set(nonces.nonceSig, AT.nonceSig)
  h.set(contextTag, AT.contextTag)
  writeU64(h, fields.createdMs, AT.createdMs)
  h.set(keyDomainToBytes(fields.keyDomain), AT.keyDomain)
  h.writeUInt32BE(fields.attemptNo, AT.attemptNo)
  return h
}

/** The 320 bytes of the wire: H (with its nonces blanked if they are detached), KC, HTAG. */
export function encodeWireHeader(logical: Buffer, keyCommit: Uint8Array, headerTag: Uint8Array): Buffer {
  const wire = dedicated(HEADER_LENGTH)
  wire.set(logical)
  if (logical.readUInt8(AT.flags) & FLAG_DETACHED) wire.fill(0, AT.nonceEnc, AT.contextTag)
  wire.set(keyCommit, AT.keyCommit)
  wire.set(headerTag, AT.headerTag)
  return wire
}

/** H of a parsed header, with the real nonces in it. The caller wipes it. */
export function logicalHeader(header: ParsedHeader, nonces: NoncePair): Buffer {
  const h = dedicatedCopy(header.wire.subarray(0, LOGICAL_HEADER_LENGTH))
  h.set(nonces.nonceEnc, AT.nonceEnc)
  h.set(nonces.nonceSig, AT.nonceSig)
  return h
}

function require(condition: boolean, rule: string): asserts condition {
  if (!condition) throw new FormatError('E_FORMAT', rule)
}

function parseSuite(value: number): Suite {
  if (value !== 1 && value !== 2) throw new FormatError('E_UNSUPPORTED', `suite ${value} is not known`)
  return value
}

/**
 * The strict parse of the first bytes of an object. Throws E_FORMAT when a rule of docs/design/format.md §4 is broken (also
 * for fewer than 320 bytes), E_UNSUPPORTED for another format version or suite.
 */
export function parseHeader(bytes: Uint8Array): ParsedHeader {
  require(bytes.length >= HEADER_LENGTH, `a sealed object starts with ${HEADER_LENGTH} bytes of header`)
  const wire = dedicatedCopy(bytes.subarray(0, HEADER_LENGTH))
  require(wire.subarray(0, MAGIC.length).equals(MAGIC), 'not a sealed object: the magic bytes are others')
  const formatVersion = wire.readUInt16BE(AT.formatVersion)
  if (formatVersion !== FORMAT_VERSION) {
    throw new FormatError('E_UNSUPPORTED', `format version ${formatVersion} is not known`)
  }
  const suite = parseSuite(wire.readUInt16BE(AT.suite))
  require(wire.readUInt32BE(AT.headerLength) === HEADER_LENGTH, 'header_len must be 320')
  const encKeyVersion = wire.readUInt32BE(AT.encKeyVersion)
  const sigKeyVersion = wire.readUInt32BE(AT.sigKeyVersion)
  require(encKeyVersion >= 1 && sigKeyVersion >= 1, 'key versions start at 1')
  const segLog2 = wire.readUInt8(AT.segLog2)
  require(segLog2 >= MIN_SEG_LOG2 && segLog2 <= MAX_SEG_LOG2, 'seg_log2 must lie in 16..24')
  const flags = wire.readUInt8(AT.flags)
  require((flags & ~FLAG_DETACHED) === 0, 'unknown flags')
  const detached = (flags & FLAG_DETACHED) !== 0
  const kekVersion = wire.readUInt32BE(AT.kekVersion)
  require((kekVersion !== 0) === detached, 'kek_ver must be 0 exactly when the nonces are inline')
  require(isZero(wire.subarray(AT.reserved1, AT.nonceEnc)), 'reserved bytes must be zero')
  require(isZero(wire.subarray(AT.reserved2, AT.keyCommit)), 'reserved bytes must be zero')
  const nonceEnc = wire.subarray(AT.nonceEnc, AT.nonceEnc + NONCE_LENGTH)
  const nonceSig = wire.subarray(AT.nonceSig, AT.nonceSig + NONCE_LENGTH)
  if (detached) require(isZero(nonceEnc) && isZero(nonceSig), 'detached nonces must be zero on the wire')
  else
    require(areUsableNonces(nonceEnc, nonceSig), 'inline nonces must differ and be neither zero nor the reserved one')
  return {
    suite,
    fileId: uuidFromBytes(wire.subarray(AT.fileId, AT.attemptId)),
    attemptId: uuidFromBytes(wire.subarray(AT.attemptId, AT.encKeyVersion)),
    encKeyVersion,
    sigKeyVersion,
    kekVersion,
    segLog2,
    detached,
    nonces: detached ? null : { nonceEnc, nonceSig },
    contextTag: wire.subarray(AT.contextTag, AT.contextTag + TAG_LENGTH),
    createdMs: readU64(wire, AT.createdMs),
    keyDomain: keyDomainFromBytes(wire.subarray(AT.keyDomain, AT.attemptNo)),
    attemptNo: wire.readUInt32BE(AT.attemptNo),
    keyCommit: wire.subarray(AT.keyCommit, AT.keyCommit + TAG_LENGTH),
    headerTag: wire.subarray(AT.headerTag, AT.headerTag + TAG_LENGTH),
    wire,
  }
}

/** context_tag, which binds the caller's bytes. */
export function contextTagOf(signingKey: Buffer, context: Uint8Array): Buffer {
  return mac(signingKey, 'context', context)
}

/** KC: commits to the data key, so that one ciphertext cannot open under two keys. */
export function keyCommitOf(signingKey: Buffer, logical: Buffer, dataKey: Buffer): Buffer {
  return mac(signingKey, 'keyCommit', logical, dataKey)
}

/** HTAG, which every segment tag and the trailer's MAC contain. */
export function headerTagOf(signingKey: Buffer, logical: Buffer, keyCommit: Uint8Array): Buffer {
  return mac(signingKey, 'header', logical, keyCommit)
}

/** Throws E_HEADER_AUTH unless HTAG is right for H and KC. */
export function checkHeaderTag(signingKey: Buffer, header: ParsedHeader, logical: Buffer): void {
  if (!macMatches(header.headerTag, signingKey, 'header', logical, header.keyCommit)) {
    throw new FormatError('E_HEADER_AUTH', 'the header is not what its sealer wrote')
  }
}

/** Throws E_CONTEXT unless the object was sealed with this context. */
export function checkContext(signingKey: Buffer, header: ParsedHeader, context: Uint8Array): void {
  if (!macMatches(header.contextTag, signingKey, 'context', context)) {
    throw new FormatError('E_CONTEXT', 'the object was sealed with another context')
  }
}

/** Throws E_KEY_COMMIT unless the header commits to DK. */
export function checkKeyCommit(signingKey: Buffer, header: ParsedHeader, logical: Buffer, dataKey: Buffer): void {
  if (!macMatches(header.keyCommit, signingKey, 'keyCommit', logical, dataKey)) {
    throw new FormatError('E_KEY_COMMIT', 'the data key is not the one that the header commits to')
  }
}
