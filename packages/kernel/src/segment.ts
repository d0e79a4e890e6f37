/** What the kernel works on. Constructions and their order are the format's: docs/design/format.md §4. */

export const OPERATIONS = ['seal', 'verify', 'open'] as const
/**
 * - `seal`: encrypts `data` in place and writes `tag`;
 * - `verify`: compares `tag` in constant time, and changes nothing;
 * - `open`: compares `tag` with that of the whole segment; only if it is right, decrypts a range of `data` in place.
 */
export type Operation = (typeof OPERATIONS)[number]

/** Views of memory that the caller owns. The kernel copies them when the work starts, and clears its copy at the end. */
export interface SegmentKeys {
  /** K_sig, 32 bytes. */
  readonly macKey: Uint8Array
  /** The block of SHA-256 that the MAC begins with, 64 bytes; not secret. */
  readonly prefix: Uint8Array
  /** Absent only to verify. */
  readonly cipher?: {
    /** 16 or 32 bytes: AES-128 or AES-256. */
    readonly key: Uint8Array
    /** The counter block of the file's first byte, 16 bytes. */
    readonly counter: Uint8Array
    /** The segment's first block, counted from the file's: 0 to 2^40. */
    readonly block: number
  }
}

export interface Segment {
  readonly operation: Operation
  /** The segment, at most 16 MiB. From `run` until it settles nothing else may read, write or detach it, nor `tag`. */
  readonly data: Uint8Array
  /** 32 bytes, apart from `data`. */
  readonly tag: Uint8Array
  /** For `open`: the bytes of `data` to decrypt; all of them by default. */
  readonly range?: { readonly from: number; readonly to: number }
  /** Called when the work starts; may throw, which rejects the run before any work. */
  readonly keys: () => SegmentKeys
}
