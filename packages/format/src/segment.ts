/**
 * Segment tags (docs/design/format.md §4): C_i ‖ tag_i on the wire, the tag over a prefix of exactly one SHA-256 block
 *
 *     label segment(16) ‖ HTAG(32) ‖ u64 i ‖ u32 len(C_i) ‖ u8 final ‖ 00 00 00
 *
 * and C_i. Index, length and finality come from the caller's own arithmetic, never from data.
 */
import { type Hmac, createHmac } from 'node:crypto'
import { secrets } from './arena.js'
import { writeU64 } from './integers.js'
import { LABELS } from './mac.js'
import { dedicated, equalBytes, wipe } from './secret.js'

const AT_INDEX = 48
const AT_LENGTH = 56
const AT_FINAL = 60
const PREFIX_LENGTH = 64

/** The 64 bytes before C_i in the message of its tag. */
export function segmentPrefix(headerTag: Uint8Array, index: number, length: number, final: boolean): Buffer {
  const prefix = dedicated(PREFIX_LENGTH)
  prefix.set(LABELS.segment)
  prefix.set(headerTag, LABELS.segment.length)
  writeU64(prefix, index, AT_INDEX)
  prefix.writeUInt32BE(length, AT_LENGTH)
  prefix.writeUInt8(final ? 1 : 0, AT_FINAL)
  return prefix
}

/** One segment's tag, updated with its ciphertext. Finish it on every path. */
export class SegmentMac {
  #hmac: Hmac | null

  constructor(signingKey: Buffer, headerTag: Uint8Array, index: number, length: number, final: boolean) {
    secrets.assertHeld(signingKey)
    this.#hmac = createHmac('sha256', signingKey).update(segmentPrefix(headerTag, index, length, final))
  }

  update(ciphertext: Uint8Array): void {
    this.#open().update(ciphertext)
  }

  /** tag_i; once. */
  digest(): Buffer {
    const hmac = this.#open()
    this.#hmac = null
    return hmac.digest()
  }

  /** Frees the key inside an HMAC that is not digested. Any number of calls. */
  finish(): void {
    if (this.#hmac) wipe(this.digest())
  }

  #open(): Hmac {
    if (this.#hmac === null) throw new Error('this segment has its tag already')
    return this.#hmac
  }
}

/** Whether `tag` is right for the whole ciphertext of segment `index`; in constant time. */
export function segmentTagMatches(
  tag: Uint8Array,
  signingKey: Buffer,
  headerTag: Uint8Array,
  segment: { readonly index: number; readonly final: boolean; readonly ciphertext: Uint8Array },
): boolean {
  const mac = new SegmentMac(signingKey, headerTag, segment.index, segment.ciphertext.length, segment.final)
  try {
    mac.update(segment.ciphertext)
    const right = mac.digest()
    const matches = equalBytes(right, tag)
    wipe(right)
    return matches
  } finally {
    mac.finish()
  }
}
