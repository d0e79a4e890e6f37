/**
 * Verifying (docs/design/format.md §7): every byte of the object is checked, and none is decrypted. Only the signing master is
 * used, so an auditor without the right to decrypt can do it.
 */
import { createHash } from 'node:crypto'
import { kernel } from '@sealfleet/kernel'
import { type OpenOptions, admit, wipeAdmitted } from './admission.js'
import type { ObjectInfo } from './inspect.js'
import type { ObjectReader } from './reader.js'
import { authenticSegments, segmentsByKernel } from './segment-reader.js'
import { FRAME_LENGTH } from './sizes.js'
import { type Trailer, checkTagsDigest } from './trailer.js'

export interface VerifyOptions extends OpenOptions {
  /** Bytes of the object read and found authentic so far, and their total. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined
}

export interface VerifyResult {
  readonly info: ObjectInfo
  readonly trailer: Trailer
  readonly segments: number
  readonly plaintextLength: number
  /** False when the caller passed `'unchecked'`. */
  readonly contextChecked: boolean
}

/**
 * Resolves when the whole object is what its sealer wrote; throws the first failing check's code. Memory: one buffer of
 * S + 32 bytes at most; `segmentsAtOnce` (2 to 6) of them with the native kernel.
 *
 * @example
 * await verifyObject(await fileReader(path), { keys: hsm, context: 'unchecked' })
 */
export async function verifyObject(reader: ObjectReader, options: VerifyOptions): Promise<VerifyResult> {
  const admitted = await admit(reader, options, 'verify')
  const { geometry, header, info, signingKey, trailer } = admitted
  try {
    const tags = createHash('sha256')
    const idle: Buffer[] = []
    const source = {
      reader,
      geometry,
      headerTag: header.headerTag,
      signingKey: () => signingKey,
      // The first segment is never shorter than the others, so its buffer serves them all.
      bufferFor: (length: number) => idle.pop() ?? Buffer.allocUnsafeSlow(length),
    }
    let segments = 0
    let done = FRAME_LENGTH
    const native = kernel()
    const last = geometry.segmentCount - 1
    const found = native
      ? segmentsByKernel(native, source, 0, last, options)
      : authenticSegments(source, 0, last, options)
    for await (const segment of found) {
      tags.update(segment.tag)
      segments += 1
      done += segment.ciphertext.length + segment.tag.length
      options.onProgress?.(done, geometry.objectLength)
      idle.push(segment.buffer)
    }
    checkTagsDigest(tags.digest(), trailer)
    return {
      info,
      trailer,
      segments,
      plaintextLength: geometry.plaintextLength,
      contextChecked: options.context !== 'unchecked',
    }
  } finally {
    wipeAdmitted(admitted)
  }
}
