/**
 * The trailer: the last 96 bytes (docs/design/format.md §4). With the header it authenticates the length of the file, so that
 * a reader knows after two small reads which bytes must lie between them.
 */
import { FormatError } from './errors.js'
import { readU64, writeU64 } from './integers.js'
import { mac, macMatches } from './mac.js'
import { dedicated, dedicatedCopy, equalBytes, isZero } from './secret.js'
import { type Geometry, TAG_LENGTH, TRAILER_LENGTH } from './sizes.js'

export const TRAILER_MAGIC = Buffer.from('SFV1END\n', 'latin1')
const AT_PLAINTEXT_LENGTH = 8
const AT_SEGMENT_COUNT = 16
const AT_RESERVED = 24
const AT_TAGS_DIGEST = 32
const AT_FMAC = 64

export interface Trailer {
  /** SHA-256 of all segment tags, in order. */
  readonly tagsDigest: Buffer
  /** The MAC of the whole object, at the root of the tree of tags. */
  readonly fmac: Buffer
}

export function encodeTrailer(
  signingKey: Buffer,
  headerTag: Uint8Array,
  content: { readonly plaintextLength: number; readonly segmentCount: number; readonly tagsDigest: Uint8Array },
): Buffer {
  const trailer = dedicated(TRAILER_LENGTH)
  trailer.set(TRAILER_MAGIC)
  writeU64(trailer, content.plaintextLength, AT_PLAINTEXT_LENGTH)
  writeU64(trailer, content.segmentCount, AT_SEGMENT_COUNT)
  trailer.set(content.tagsDigest, AT_TAGS_DIGEST)
  trailer.set(mac(signingKey, 'final', headerTag, trailer.subarray(0, AT_FMAC)), AT_FMAC)
  return trailer
}

/** The trailer's fields, unauthenticated. Throws E_TRAILER_AUTH when the magic is missing. */
export function parseTrailer(bytes: Uint8Array): Trailer {
  const trailer = dedicatedCopy(bytes)
  if (trailer.length !== TRAILER_LENGTH || !trailer.subarray(0, TRAILER_MAGIC.length).equals(TRAILER_MAGIC)) {
    throw new FormatError('E_TRAILER_AUTH', 'the object does not end with a trailer')
  }
  return {
    tagsDigest: trailer.subarray(AT_TAGS_DIGEST, AT_TAGS_DIGEST + TAG_LENGTH),
    fmac: trailer.subarray(AT_FMAC),
  }
}

/**
 * Step 6 of opening: magic, FMAC, the record's FMAC, reserved bytes, each E_TRAILER_AUTH; then compares the
 * authenticated lengths with the object's, E_LENGTH.
 */
export function checkTrailer(
  bytes: Uint8Array,
  signingKey: Buffer,
  headerTag: Uint8Array,
  geometry: Geometry,
  recordFmac?: Uint8Array,
): Trailer {
  const trailer = parseTrailer(bytes)
  const body = Buffer.from(bytes.buffer, bytes.byteOffset, AT_FMAC)
  if (!macMatches(trailer.fmac, signingKey, 'final', headerTag, body)) {
    throw new FormatError('E_TRAILER_AUTH', 'the trailer is not what its sealer wrote')
  }
  if (recordFmac && !equalBytes(trailer.fmac, recordFmac)) {
    throw new FormatError('E_TRAILER_AUTH', 'the trailer is not the one that the record knows')
  }
  if (!isZero(body.subarray(AT_RESERVED, AT_TAGS_DIGEST))) {
    throw new FormatError('E_TRAILER_AUTH', 'reserved bytes of the trailer must be zero')
  }
  if (
    readU64(body, AT_PLAINTEXT_LENGTH) !== geometry.plaintextLength ||
    readU64(body, AT_SEGMENT_COUNT) !== geometry.segmentCount
  ) {
    throw new FormatError('E_LENGTH', `the trailer's lengths are not those of ${geometry.objectLength} bytes`)
  }
  return trailer
}

/** Step 9: E_TRAILER_AUTH unless the tags that were read equal the sealed ones. */
export function checkTagsDigest(digest: Buffer, trailer: Trailer): void {
  if (!equalBytes(digest, trailer.tagsDigest)) {
    throw new FormatError('E_TRAILER_AUTH', 'the segments are not those that the trailer sums up')
  }
}
