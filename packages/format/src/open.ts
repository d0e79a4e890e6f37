/**
 * Opening (docs/design/format.md §7). No byte of plaintext is released before its segment is authentic; a whole read has
 * succeeded only when its generator ended without throwing.
 */
import { createHash } from 'node:crypto'
import { kernel } from '@sealfleet/kernel'
import { type Admitted, type OpenOptions, admit, wipeAdmitted } from './admission.js'
import type { Allocate } from './chunks.js'
import { deriveDataKey } from './derivation.js'
import { checkKeyCommit } from './header.js'
import type { ObjectInfo } from './inspect.js'
import { Keystream, SLICE_LENGTH } from './keystream.js'
import type { ObjectReader } from './reader.js'
import { release } from './release.js'
import { wipe } from './secret.js'
import { type AuthenticSegment, authenticSegments, segmentsByKernel } from './segment-reader.js'
import type { Cancellable } from './terms.js'
import { type Trailer, checkTagsDigest } from './trailer.js'

export interface ReadOptions extends Cancellable {
  /** Gives the buffers for reading segments and yielding plaintext; by default fresh ones. */
  readonly allocate?: Allocate | undefined
}

/** An object whose header, trailer and data key are genuine (steps 0 to 7). Dispose of it: it holds keys. */
export interface OpenedObject extends Disposable {
  readonly info: ObjectInfo
  readonly trailer: Trailer
  readonly plaintextLength: number
  /** False when the caller passed `'unchecked'`. */
  readonly contextChecked: boolean
  /**
   * The whole plaintext, in buffers of at most S bytes that belong to the caller. Only its end is success: until then
   * the bytes belong under a temporary name. With the native kernel up to `segmentsAtOnce` segments are read ahead. Throws E_SEGMENT_AUTH, E_TRAILER_AUTH, E_LENGTH, the signal's reason, or
   * the reader's own errors; after any error every later read throws the same.
   */
  readAll(options?: ReadOptions): AsyncGenerator<Buffer, void, void>
  /**
   * Bytes [start, endExclusive) of the plaintext. Authenticates the segments that contain them, and no others. Throws
   * RangeError outside 0 ≤ start ≤ endExclusive ≤ plaintextLength.
   */
  readRange(start: number, endExclusive: number, options?: ReadOptions): AsyncGenerator<Buffer, void, void>
  /** Fills the keys with zeros; reads in progress fail. Any number of calls. */
  wipe(): void
}

/**
 * Steps 0 to 7. Throws FormatError with the code of the first check that fails; errors of the HSM, the reader and the
 * unwrapper pass unchanged.
 *
 * @example
 * using object = await openObject(reader, { keys: hsm, context })
 * for await (const plaintext of object.readAll()) await file.write(plaintext)
 */
export async function openObject(reader: ObjectReader, options: OpenOptions): Promise<OpenedObject> {
  const admitted = await admit(reader, options, 'open')
  let dataKey: Buffer | undefined
  try {
    dataKey = await deriveDataKey(options.keys, { ...admitted.info, ...admitted.nonces }, options)
    checkKeyCommit(admitted.signingKey, admitted.header, admitted.logical, dataKey)
    options.signal?.throwIfAborted()
  } catch (error) {
    wipe(dataKey)
    wipeAdmitted(admitted)
    throw error
  }
  return new AuthenticObject(reader, admitted, dataKey, options.context !== 'unchecked')
}

class AuthenticObject implements OpenedObject {
  readonly info: ObjectInfo
  readonly trailer: Trailer
  readonly plaintextLength: number
  readonly contextChecked: boolean
  readonly #reader: ObjectReader
  readonly #admitted: Admitted
  readonly #dataKey: Buffer
  readonly #running = new Set<Keystream>()
  #failure: Error | null = null

  constructor(reader: ObjectReader, admitted: Admitted, dataKey: Buffer, contextChecked: boolean) {
    this.info = admitted.info
    this.trailer = admitted.trailer
    this.plaintextLength = admitted.geometry.plaintextLength
    this.contextChecked = contextChecked
    this.#reader = reader
    this.#admitted = admitted
    this.#dataKey = dataKey
  }

  readAll(options: ReadOptions = {}): AsyncGenerator<Buffer, void, void> {
    return this.#read(0, this.plaintextLength, options, true)
  }

  readRange(start: number, endExclusive: number, options: ReadOptions = {}): AsyncGenerator<Buffer, void, void> {
    const inOrder = Number.isSafeInteger(start) && Number.isSafeInteger(endExclusive) && start <= endExclusive
    if (!inOrder || start < 0 || endExclusive > this.plaintextLength) {
      throw new RangeError(`a range lies within 0..${this.plaintextLength}`)
    }
    return this.#read(start, endExclusive, options, false)
  }

  wipe(): void {
    this.#fail(new Error('the object was closed'))
  }

  [Symbol.dispose](): void {
    this.wipe()
  }

  async *#read(start: number, end: number, options: ReadOptions, whole: boolean): AsyncGenerator<Buffer, void, void> {
    this.#throwIfFailed()
    if (start === end && !whole) return
    const { geometry, header, trailer } = this.#admitted
    const allocate = options.allocate ?? ((size: number) => Buffer.allocUnsafeSlow(size))
    const first = Math.floor(start / geometry.segmentSize)
    const last = whole ? geometry.segmentCount - 1 : Math.floor((end - 1) / geometry.segmentSize)
    const source = {
      reader: this.#reader,
      geometry,
      headerTag: header.headerTag,
      signingKey: () => this.#signingKey(),
      bufferFor: allocate,
    }
    const tags = createHash('sha256')
    const native = kernel()
    const decryption = { suite: this.info.suite, dataKey: () => this.#heldDataKey(), start, end }
    let keystream: Keystream | undefined
    try {
      if (!native) this.#running.add((keystream = new Keystream(this.info.suite, this.#dataKey, start)))
      const segments = native
        ? segmentsByKernel(native, source, first, last, options, decryption)
        : authenticSegments(source, first, last, options)
      for await (const segment of segments) {
        if (whole) tags.update(segment.tag)
        // The digest is checked before the last bytes are released, not after.
        if (whole && segment.final) checkTagsDigest(tags.digest(), trailer)
        const wanted = partOf(segment, start, end, geometry.segmentSize)
        if (keystream) decrypt(keystream, wanted)
        if (wanted.length > 0) yield wanted
        this.#throwIfFailed()
      }
    } catch (error) {
      this.#fail(error instanceof Error ? error : new Error('reading failed', { cause: error }))
      throw error
    } finally {
      keystream?.finish()
      if (keystream) this.#running.delete(keystream)
    }
  }

  #signingKey(): Buffer {
    this.#throwIfFailed()
    return this.#admitted.signingKey
  }

  #heldDataKey(): Buffer {
    this.#throwIfFailed()
    return this.#dataKey
  }

  #throwIfFailed(): void {
    if (this.#failure) throw this.#failure
  }

  #fail(reason: Error): void {
    this.#failure ??= reason
    for (const keystream of this.#running) keystream.finish()
    this.#running.clear()
    wipe(this.#dataKey)
    wipeAdmitted(this.#admitted)
  }
}

/** The part of a segment that lies in [start, end), as a view. */
function partOf({ index, ciphertext }: AuthenticSegment, start: number, end: number, size: number): Buffer {
  const offset = index * size
  return ciphertext.subarray(Math.max(0, start - offset), Math.min(ciphertext.length, end - offset))
}

/** Decrypts in place. */
function decrypt(keystream: Keystream, wanted: Buffer): void {
  for (let at = 0; at < wanted.length; at += SLICE_LENGTH) {
    const plaintext = keystream.apply(wanted.subarray(at, at + SLICE_LENGTH))
    wanted.set(plaintext, at)
    release(plaintext)
  }
}
