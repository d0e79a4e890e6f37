/** Segments with what Node's own cipher and HMAC make of them. */
import { createCipheriv, createHmac, randomBytes } from 'node:crypto'
import { loadAddon } from '../src/addon.js'
import { Kernel } from '../src/kernel.js'
import type { Segment } from '../src/segment.js'

export const addon = loadAddon()
/** The paths that this processor has. */
export const PATHS = addon.lanes ? (['evp', 'lanes'] as const) : (['evp'] as const)
export const kernelOf = (path: 'evp' | 'lanes', mostAtOnce?: number): Kernel => new Kernel(addon, path, mostAtOnce)

export interface Sample {
  readonly plaintext: Buffer
  readonly ciphertext: Buffer
  readonly tag: Buffer
  readonly keys: ReturnType<Segment['keys']> & { readonly cipher: NonNullable<ReturnType<Segment['keys']>['cipher']> }
}

export function sampleOf(length: number, keyLength: 16 | 32 = 16, block = 0): Sample {
  const plaintext = randomBytes(length)
  const [key, counter, macKey, prefix] = [randomBytes(keyLength), randomBytes(16), randomBytes(32), randomBytes(64)]
  const cipher = createCipheriv(keyLength === 16 ? 'aes-128-ctr' : 'aes-256-ctr', key, counter)
  cipher.update(Buffer.alloc(16 * block))
  const ciphertext = cipher.update(plaintext)
  const tag = createHmac('sha256', macKey).update(prefix).update(ciphertext).digest()
  return { plaintext, ciphertext, tag, keys: { macKey, prefix, cipher: { key, counter, block } } }
}

export function segmentOf(sample: Sample, operation: Segment['operation'], more: Partial<Segment> = {}): Segment {
  const sealing = operation === 'seal'
  return {
    operation,
    data: Uint8Array.from(sealing ? sample.plaintext : sample.ciphertext),
    tag: Uint8Array.from(sealing ? Buffer.alloc(32) : sample.tag),
    keys: () => sample.keys,
    ...more,
  }
}
