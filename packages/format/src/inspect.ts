/** An object's description of itself: the strict parse and the length formula, without HSM or authentication. */
import { FormatError } from './errors.js'
import { type HeaderFields, type ParsedHeader, parseHeader } from './header.js'
import { type ObjectReader, readPiece } from './reader.js'
import { type Geometry, HEADER_LENGTH, geometryOfObject } from './sizes.js'
import type { Cancellable } from './terms.js'

/** Everything that is known of an object without a key. */
export interface ObjectInfo extends HeaderFields, Geometry {
  readonly nonceMode: 'inline' | 'detached'
  /** `null` when detached. */
  readonly nonceEnc: Buffer | null
  readonly nonceSig: Buffer | null
  readonly contextTag: Buffer
  readonly keyCommit: Buffer
  readonly htag: Buffer
}

/** A parsed header together with the lengths that follow from it and T. */
export interface Inspected {
  readonly header: ParsedHeader
  readonly geometry: Geometry
  readonly info: ObjectInfo
}

/** Steps 1 and 2 of opening, as far as they need no expectation: E_FORMAT, E_UNSUPPORTED, E_LENGTH. */
export async function readHeader(reader: ObjectReader, options: Cancellable = {}): Promise<Inspected> {
  if (reader.length < HEADER_LENGTH) {
    throw new FormatError('E_FORMAT', `${reader.length} bytes cannot hold the header of a sealed object`)
  }
  const header = parseHeader(await readPiece(reader, 0, HEADER_LENGTH, options))
  const geometry = geometryOfObject(reader.length, header.segLog2)
  return { header, geometry, info: describe(header, geometry) }
}

/**
 * Reads the first 320 bytes and T. Throws E_FORMAT, E_UNSUPPORTED or E_LENGTH; the reader's own errors pass unchanged.
 * Nothing here is authenticated: anyone who can write the object can write these fields.
 *
 * @example
 * const { fileId, plaintextLength, encKeyVersion } = await inspectObject(bufferReader(bytes))
 */
export async function inspectObject(reader: ObjectReader, options: Cancellable = {}): Promise<ObjectInfo> {
  return (await readHeader(reader, options)).info
}

function describe(header: ParsedHeader, geometry: Geometry): ObjectInfo {
  return {
    suite: header.suite,
    fileId: header.fileId,
    attemptId: header.attemptId,
    attemptNo: header.attemptNo,
    encKeyVersion: header.encKeyVersion,
    sigKeyVersion: header.sigKeyVersion,
    kekVersion: header.kekVersion,
    keyDomain: header.keyDomain,
    createdMs: header.createdMs,
    ...geometry,
    nonceMode: header.detached ? 'detached' : 'inline',
    nonceEnc: header.nonces?.nonceEnc ?? null,
    nonceSig: header.nonces?.nonceSig ?? null,
    contextTag: header.contextTag,
    keyCommit: header.keyCommit,
    htag: header.headerTag,
  }
}
