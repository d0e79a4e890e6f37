/**
 * AES-CTR over the whole file: one counter runs through all segments, since S is a multiple of the block
 * (docs/design/format.md §4). This is the faithfulness invariant: the joined ciphertexts are one plain AES-CTR encryption of
 * the file.
 */
import { createCipheriv } from 'node:crypto'
import { aesKeyOf, initialCounterOf } from './derivation.js'
import { secrets } from './arena.js'
import { secretCopy, wipe } from './secret.js'
import type { Suite } from './terms.js'

const BLOCK = 16
const ALGORITHM = { 1: 'aes-128-ctr', 2: 'aes-256-ctr' } as const

/**
 * Bytes per call of OpenSSL. Node returns a fresh buffer per call: at 64 to 128 KiB the allocator returns warm memory
 * (see release.ts), at 1 MiB every call pays for fresh pages (measured on Node 20.20, November 2026).
 */
export const SLICE_LENGTH = 128 * 1024

/**
 * (block + count) mod 2^128, in the arena; the caller wipes it. Bytewise, since a BigInt could not be wiped.
 * `count` is a whole number of blocks, below 2^53.
 */
export function addToCounter(block: Uint8Array, count: number): Buffer {
  const sum = secretCopy(block)
  let carry = count
  for (let i = sum.length - 1; i >= 0 && carry > 0; i--) {
    const value = (sum[i] ?? 0) + (carry % 256)
    sum[i] = value & 255
    carry = Math.floor(carry / 256) + (value >> 8)
  }
  return sum
}

/** XORs data with the keystream, going forward from one position. Finish it on every path. */
export class Keystream {
  #cipher: ReturnType<typeof createCipheriv> | null
  #skip: number

  /** `position` is the plaintext offset of the first byte: any number ≥ 0, in bytes. */
  constructor(suite: Suite, dataKey: Buffer, position = 0) {
    secrets.assertHeld(dataKey)
    this.#skip = position % BLOCK
    const counter = addToCounter(initialCounterOf(suite, dataKey), (position - this.#skip) / BLOCK)
    try {
      this.#cipher = createCipheriv(ALGORITHM[suite], aesKeyOf(suite, dataKey), counter)
    } finally {
      wipe(counter)
    }
  }

  /**
   * At most SLICE_LENGTH bytes in, as many out, in their own buffer, which the caller may `release`. Encrypting and
   * decrypting are the same. Throws when the keystream is finished.
   */
  apply(slice: Uint8Array): Buffer {
    const cipher = this.#cipher
    if (cipher === null) throw new Error('the keystream is finished')
    if (this.#skip > 0) {
      wipe(cipher.update(new Uint8Array(this.#skip)))
      this.#skip = 0
    }
    return cipher.update(slice)
  }

  /** Lets OpenSSL free (and clear) the key schedule; no other call does. Any number of calls. */
  finish(): void {
    this.#cipher?.final()
    this.#cipher = null
  }
}
