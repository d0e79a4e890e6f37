/**
 * Sealing (docs/design/format.md §6): one attempt, one sealer, one pass over the plaintext. A sealer owns the keys of its
 * attempt and wipes them on every path: at the end, on an error, on abort, and when its consumer stops early.
 */
import { type Kernel, kernel } from '@sealfleet/kernel'
import { endingWith } from './cancel.js'
import { type Allocate, ChunkWriter } from './chunks.js'
import { deriveDataKey, deriveSigningKey } from './derivation.js'
import {
  type HeaderFields,
  contextTagOf,
  encodeLogicalHeader,
  encodeWireHeader,
  headerTagOf,
  keyCommitOf,
} from './header.js'
import { sealWithKernel } from './kernel-seal.js'
import { Keystream, SLICE_LENGTH } from './keystream.js'
import { areUsableNonces } from './nonce.js'
import { type PlaintextSource, assertBytes, chunksOf, fillerOf } from './plaintext.js'
import { allOrWipe, wipe } from './secret.js'
import { type SealResult, SealingPass } from './sealing-pass.js'
import { geometryOfPlaintext, objectLength } from './sizes.js'
import { type Cancellable, type KeyDeriver, MAX_CONTEXT_LENGTH, type NoncePair } from './terms.js'

/** The fields of the header. `kekVersion` 0 means inline nonces; else they are detached. */
export interface SealOptions extends HeaderFields, NoncePair {
  /** 0 to 1,024 bytes, bound by the header's context tag. */
  readonly context: Uint8Array
}

export interface SealStreamOptions extends Cancellable {
  /** Bytes of every buffer but the last: an upload's part size. */
  readonly chunkSize: number
  /** Gives an unshared buffer of exactly `size` bytes; by default a fresh one. */
  readonly allocate?: Allocate | undefined
  /**
   * L, if known: then another number of bytes from the source is E_LENGTH, buffers are never longer than the object,
   * and none is held back for a tag.
   */
  readonly plaintextLength?: number | undefined
}

export interface Sealer extends Disposable {
  /** The 320 bytes that the object starts with. */
  readonly header: Buffer
  readonly htag: Buffer
  /**
   * The sealed object, as buffers of exactly `chunkSize` bytes (the last may be shorter and is never empty). The sealer
   * never touches a yielded buffer again. Memory: the buffer being filled and, unless `plaintextLength` is given, the
   * buffers since the start of the current segment: S + 128 KiB + 2·chunkSize at most. With `plaintextLength` and the
   * native kernel: two buffers (from the time when one is yielded until the next is requested: one), and S + 32 bytes
   * more if the object has more than one.
   *
   * The source's chunks are used before the next is requested, so a source may reuse its buffer. A `PlaintextReader`
   * writes into the object's buffers: nothing is copied.
   *
   * Works once. Throws the signal's reason after an abort, the source's errors unchanged, E_LENGTH for more than 2^44
   * bytes or another count than `plaintextLength`, TypeError for chunks that are not bytes.
   */
  seal(plaintext: PlaintextSource, options: SealStreamOptions): AsyncGenerator<Buffer, void, void>
  /** Lengths and MACs for the record; throws before `seal` has ended. */
  result(): SealResult
  /** Fills the keys with zeros; the sealer cannot seal any more. Any number of calls. */
  wipe(): void
}

const freshBuffer: Allocate = (size) => Buffer.allocUnsafeSlow(size)

/**
 * Derives the keys of an attempt (2 HSM calls for suite 1, 3 for suite 2) and its header. The nonces must be recorded
 * before the first byte that `seal` yields leaves memory. Throws TypeError or RangeError for options that no header can
 * hold, before any HSM call; the deriver's errors pass unchanged.
 *
 * @example
 * using sealer = await createSealer({ ...attempt, ...freshNonces(), context }, hsm)
 * for await (const part of sealer.seal(source, { chunkSize: 8 * 2 ** 20 })) await upload(part)
 * record(sealer.result())
 */
export async function createSealer(options: SealOptions, keys: KeyDeriver, o: Cancellable = {}): Promise<Sealer> {
  checkOptions(options)
  o.signal?.throwIfAborted()
  const [signingKey, dataKey] = await allOrWipe(deriveSigningKey(keys, options, o), deriveDataKey(keys, options, o))
  let logical: Buffer | undefined
  try {
    o.signal?.throwIfAborted()
    logical = encodeLogicalHeader(options, options, contextTagOf(signingKey, options.context))
    const keyCommit = keyCommitOf(signingKey, logical, dataKey)
    const htag = headerTagOf(signingKey, logical, keyCommit)
    return new AttemptSealer(options, encodeWireHeader(logical, keyCommit, htag), htag, signingKey, dataKey)
  } catch (error) {
    wipe(signingKey, dataKey)
    throw error
  } finally {
    wipe(logical)
  }
}

function checkOptions(options: SealOptions): void {
  if (options.suite !== 1 && options.suite !== 2) throw new RangeError('suite must be 1 or 2')
  if (!areUsableNonces(options.nonceEnc, options.nonceSig)) {
    throw new TypeError('nonces have 32 bytes, differ, and are neither all zero nor the reserved one')
  }
  if (options.context.length > MAX_CONTEXT_LENGTH) {
    throw new RangeError(`a context has at most ${MAX_CONTEXT_LENGTH} bytes, not ${options.context.length}`)
  }
  // Refuses every number and id that no header can hold; the tag is the only field not known yet.
  wipe(encodeLogicalHeader(options, options, Buffer.alloc(32)))
}

class AttemptSealer implements Sealer {
  readonly header: Buffer
  readonly htag: Buffer
  readonly #options: SealOptions
  readonly #signingKey: Buffer
  readonly #dataKey: Buffer
  #state: 'ready' | 'sealing' | 'over' = 'ready'
  #pass: SealingPass | null = null
  #result: SealResult | null = null

  constructor(options: SealOptions, header: Buffer, htag: Buffer, signingKey: Buffer, dataKey: Buffer) {
    this.#options = options
    this.header = header
    this.htag = htag
    this.#signingKey = signingKey
    this.#dataKey = dataKey
  }

  seal(plaintext: PlaintextSource, options: SealStreamOptions): AsyncGenerator<Buffer, void, void> {
    if (this.#state !== 'ready') throw new Error('an attempt is sealed once: its keystream must never be used again')
    this.#state = 'sealing'
    return endingWith(this.#seal(plaintext, options), () => this.wipe())
  }

  result(): SealResult {
    if (this.#result === null) throw new Error('the object is not sealed to its end')
    return this.#result
  }

  wipe(): void {
    this.#state = 'over'
    this.#pass?.finish()
    wipe(this.#signingKey, this.#dataKey)
  }

  [Symbol.dispose](): void {
    this.wipe()
  }

  async *#seal(plaintext: PlaintextSource, options: SealStreamOptions): AsyncGenerator<Buffer, void, void> {
    const { segLog2 } = this.#options
    const { signal, plaintextLength: declared } = options
    try {
      const total = declared === undefined ? null : objectLength(declared, segLog2)
      const writer = new ChunkWriter(options.chunkSize, options.allocate ?? freshBuffer, total)
      writer.write(this.header)
      const native = declared === undefined ? undefined : kernel()
      const result = native
        ? yield* this.#sealByKernel(native, writer, plaintext, Number(declared), signal)
        : yield* this.#sealByPass(writer, plaintext, declared, signal)
      for (let last = writer.take() ?? writer.takeLast(); last; last = writer.take() ?? writer.takeLast()) {
        yield last
        this.#stillSealing(signal)
      }
      this.#result = result
    } finally {
      this.wipe()
    }
  }

  #sealByKernel(
    native: Kernel,
    writer: ChunkWriter,
    plaintext: PlaintextSource,
    plaintextLength: number,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<Buffer, SealResult, void> {
    return sealWithKernel({
      kernel: native,
      writer,
      filler: fillerOf(plaintext, signal),
      geometry: geometryOfPlaintext(plaintextLength, this.#options.segLog2),
      suite: this.#options.suite,
      dataKey: this.#dataKey,
      signingKey: this.#signingKey,
      htag: this.htag,
      check: () => this.#stillSealing(signal),
    })
  }

  async *#sealByPass(
    writer: ChunkWriter,
    plaintext: PlaintextSource,
    declared: number | undefined,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<Buffer, SealResult, void> {
    const { suite, segLog2 } = this.#options
    const keystream = new Keystream(suite, this.#dataKey)
    const pass = new SealingPass(writer, keystream, this.#signingKey, this.htag, segLog2, declared)
    this.#pass = pass
    for await (const chunk of chunksOf(plaintext, SLICE_LENGTH, signal)) {
      assertBytes(chunk)
      for (let at = 0; at < chunk.length;) {
        at += pass.absorb(chunk, at)
        for (let ready = pass.ready(); ready; ready = pass.ready()) {
          yield ready
          this.#stillSealing(signal)
        }
      }
    }
    this.#stillSealing(signal)
    return pass.end()
  }

  #stillSealing(signal: AbortSignal | undefined): void {
    signal?.throwIfAborted()
    if (this.#state !== 'sealing') throw new Error('the sealer was wiped while it sealed')
  }
}
