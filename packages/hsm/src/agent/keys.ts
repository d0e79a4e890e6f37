import { randomBytes, timingSafeEqual } from 'node:crypto'

import { knownAnswerMessages, knownAnswerOf, parseKeyLabel, secretCopy, wipe } from '@sealfleet/format'

import type { VendorProfile } from '../errors/classes.js'
import { classifyCkr } from '../errors/classify.js'
import { KCV_LENGTH, KCV_MESSAGE, kekCheckInput } from '../inputs.js'
import { implausibility, inWords, OUTPUT_LENGTH } from '../plausible.js'
import type { Expect } from '../wire/messages.js'
import { CkrError, WrongAnswer, type Cryptoki, type Handle } from './cryptoki.js'
import { OperationFailure } from './failure.js'
import type { Session } from './sessions.js'

interface BoundKey {
  readonly handle: Handle
  readonly epoch: number
}

interface Known {
  kcv?: Buffer
  answer?: Buffer
  ckaId?: Buffer
  record?: Buffer
}

function fromHex(text: string | undefined): Buffer | undefined {
  return text === undefined ? undefined : Buffer.from(text, 'hex')
}

function hexOf(answer: Buffer | string): string {
  return typeof answer === 'string' ? answer : answer.toString('hex')
}

const IV_LENGTH = 12
const TAG_LENGTH = 16
/** Size of an HMAC output buffer: a module that writes more than an HMAC must not write beyond the buffer. */
const OUT_LENGTH = 128

/**
 * Key handles by label. A handle is *bound* when the key was found exactly once and its check value compared with the
 * expected one, or else with the one first seen by this agent. Handles of an older generation are looked up again.
 */
export class Keys {
  readonly #module: Cryptoki
  readonly #bound = new Map<string, BoundKey>()
  readonly #flights = new Map<string, Promise<Handle>>()
  readonly #known = new Map<string, Known>()
  readonly #onBound: (label: string, kcv: Buffer | null) => void
  readonly #profile: VendorProfile | undefined

  constructor(module: Cryptoki, onBound: (label: string, kcv: Buffer | null) => void, profile?: VendorProfile) {
    this.#module = module
    this.#profile = profile
    this.#onBound = onBound
  }

  /** Stores the expected values of a key; a handle bound with the same values stays bound. */
  expect({ label, kcv, answer, ckaId, record }: Expect): void {
    const known = this.#known.get(label) ?? {}
    const news = { kcv: fromHex(kcv), answer: fromHex(answer), ckaId: fromHex(ckaId), record: fromHex(record) }
    const changed = (['kcv', 'answer', 'ckaId', 'record'] as const).filter((name) => {
      const value = news[name]
      if (value === undefined || known[name]?.equals(value) === true) return false
      known[name] = value
      return true
    })
    this.#known.set(label, known)
    if (changed.length > 0) this.#bound.delete(label)
  }

  /** Drops the handle, unless a later generation has already found it again. */
  forget(label: string, epoch: number): void {
    const bound = this.#bound.get(label)
    if (bound !== undefined && bound.epoch <= epoch) this.#bound.delete(label)
  }

  cached(label: string, epoch: number): Handle | undefined {
    const bound = this.#bound.get(label)
    return bound?.epoch === epoch ? bound.handle : undefined
  }

  /**
   * Finds and checks the key on this session; concurrent callers for one label share one search. Rejects with
   * OperationFailure `unknown` (no key) or `mismatch` (two keys, or another check value), or with the module's own
   * error.
   */
  async bind(label: string, session: Session): Promise<Handle> {
    const flight = this.#flights.get(label)
    if (flight !== undefined) return flight
    const started = this.#bindNow(label, session).finally(() => this.#flights.delete(label))
    this.#flights.set(label, started)
    return started
  }

  async #bindNow(label: string, session: Session): Promise<Handle> {
    const known = this.#known.get(label) ?? {}
    const [handle, second] = this.#module.findKeys(session.handle, { label, ckaId: known.ckaId })
    if (handle === undefined) throw new OperationFailure('unknown', `the token holds no key ${label}`)
    if (second !== undefined) throw new OperationFailure('mismatch', `the token holds two keys ${label}`)
    const isKek = parseKeyLabel(label)?.role === 'kek'
    const kcv = isKek ? null : await this.comparedValue(label, session, handle)
    await this.compareAnswer(label, session, handle)
    if (kcv === null && known.record !== undefined) {
      await this.checkRecord(session, handle, label, known.record)
      await this.#refusesForgery(session, handle, label, known.record)
    }
    this.#bound.set(label, { handle, epoch: session.generation })
    this.#onBound(label, kcv)
    return handle
  }

  /**
   * The key's check value, compared with the known one; the first value seen becomes the known one. An unexpected value
   * is computed again, so that one flipped bit is not taken for a wrong key. Rejects with `mismatch`, or WrongAnswer.
   */
  async comparedValue(label: string, session: Session, handle: Handle): Promise<Buffer> {
    const kcv = await this.checkValue(session, handle)
    if (this.#known.get(label)?.kcv?.equals(kcv) === true) return kcv
    const again = await this.checkValue(session, handle)
    if (!again.equals(kcv)) throw new WrongAnswer('two computations of a check value differ')
    const known = this.#known.get(label)
    if (known?.kcv === undefined || known.kcv.equals(kcv)) {
      this.#known.set(label, { ...known, kcv })
      return kcv
    }
    this.#bound.delete(label)
    const values = `it is ${kcv.toString('hex')}, expected ${known.kcv.toString('hex')}`
    throw new OperationFailure('mismatch', `the key ${label} has another check value: ${values}`)
  }

  /**
   * Compares the key's known answer with the registered one, if there is one. Its inputs have the shape of a file's
   * inputs, so it finds a token that is right about check values and wrong about files. An unexpected answer is
   * computed again. Rejects with `mismatch`, or WrongAnswer. `session.out` stays as it is.
   */
  async compareAnswer(label: string, session: Session, handle: Handle): Promise<void> {
    const registered = this.#known.get(label)?.answer
    if (registered === undefined) return
    const answer = await this.#answerOrWhy(label, session, handle)
    if (typeof answer !== 'string' && timingSafeEqual(answer, registered)) return
    const again = await this.#answerOrWhy(label, session, handle)
    if (hexOf(answer) !== hexOf(again)) throw new WrongAnswer('two computations of a known answer differ')
    this.#bound.delete(label)
    const why = typeof answer === 'string' ? answer : 'its known answer is another than the registered one'
    throw new OperationFailure('mismatch', `the key ${label} does not answer as it did when it was registered: ${why}`)
  }

  /**
   * The known answer as the token computes it now: a digest of 32 bytes. Rejects with `mismatch` for a value that no
   * HMAC gives.
   */
  async knownAnswer(label: string, session: Session, handle: Handle): Promise<Buffer> {
    const answer = await this.#answerOrWhy(label, session, handle)
    if (typeof answer !== 'string') return answer
    throw new OperationFailure('mismatch', `the token computes nonsense with ${label}: ${answer}`)
  }

  async #answerOrWhy(label: string, session: Session, handle: Handle): Promise<Buffer | string> {
    const ref = parseKeyLabel(label)
    const messages = ref === null ? [] : knownAnswerMessages(ref)
    if (messages.length === 0) throw new OperationFailure('refused', 'a key that has no known answer')
    const out = Buffer.allocUnsafeSlow(messages.length * OUT_LENGTH)
    const input = session.input
    try {
      const outputs: Buffer[] = []
      for (const [i, message] of messages.entries()) {
        const room = out.subarray(i * OUT_LENGTH, (i + 1) * OUT_LENGTH)
        session.input = [...input, message, out]
        await this.#module.hmac(session.handle, handle, message, room)
        const output = room.subarray(0, OUTPUT_LENGTH)
        const what = implausibility(output)
        if (what !== undefined) return `it answers with ${inWords(what)}`
        outputs.push(output)
      }
      return knownAnswerOf(outputs)
    } finally {
      out.fill(0)
      wipe(...messages)
      session.input = input
    }
  }

  /** HMAC-SHA-256 into the first 32 bytes of `session.out`. */
  async hmac(session: Session, handle: Handle, message: Buffer): Promise<void> {
    await this.#module.hmac(session.handle, handle, message, session.out)
  }

  /** First 8 bytes of HMAC(M, "SFV1-KCV-v1"). */
  async checkValue(session: Session, handle: Handle): Promise<Buffer> {
    await this.hmac(session, handle, KCV_MESSAGE)
    const kcv = Buffer.allocUnsafeSlow(KCV_LENGTH)
    session.out.copy(kcv, 0, 0, KCV_LENGTH)
    session.out.fill(0)
    return kcv
  }

  /**
   * A new check record of this KEK (92 bytes), which {@link checkRecord} opens. Rejects with `mismatch` for a token
   * that does not encrypt, does not open its own record, or opens a changed one.
   */
  async makeRecord(session: Session, handle: Handle, label: string): Promise<Buffer> {
    const { plaintext, aad } = kekCheckInput(label)
    session.input = [plaintext, aad]
    const record = await this.encrypt(session, handle, aad, plaintext)
    const ciphertext = record.subarray(IV_LENGTH, -TAG_LENGTH)
    for (let at = 0; at < ciphertext.length; at += OUTPUT_LENGTH) {
      const what = implausibility(ciphertext.subarray(at, at + OUTPUT_LENGTH))
      if (what === undefined) continue
      throw new OperationFailure(
        'mismatch',
        `the token does not encrypt with ${label}: it answers with ${inWords(what)}`,
      )
    }
    await this.checkRecord(session, handle, label, record)
    await this.#refusesForgery(session, handle, label, record)
    return record
  }

  /** A token that opens a record with a wrong tag does not check tags at all. Rejects with `mismatch`. */
  async #refusesForgery(session: Session, handle: Handle, label: string, record: Buffer): Promise<void> {
    const { aad } = kekCheckInput(label)
    const forged = Buffer.from(record)
    forged.writeUInt8(forged.readUInt8(forged.length - 1) ^ 1, forged.length - 1)
    try {
      session.input = [forged, aad]
      await this.decrypt(session, handle, aad, forged)
    } catch (error) {
      if (error instanceof CkrError && classifyCkr(error.ckr, error.fn, this.#profile?.rows) === 'data') return
      throw error
    }
    throw new OperationFailure('mismatch', `the token opens a changed record with ${label}: it does not check tags`)
  }

  /** {@link checkRecord} with the registered record, if there is one. */
  async recheckRecord(label: string, session: Session, handle: Handle): Promise<void> {
    const record = this.#known.get(label)?.record
    if (record !== undefined) await this.checkRecord(session, handle, label, record)
  }

  /** Checks that this KEK decrypts the record registered with it. Rejects with `mismatch` when it does not. */
  async checkRecord(session: Session, handle: Handle, label: string, record: Buffer): Promise<void> {
    const { plaintext, aad } = kekCheckInput(label)
    try {
      session.input = [record, aad]
      const opened = await this.decrypt(session, handle, aad, record)
      const same = opened.equals(plaintext)
      wipe(opened)
      if (same) return
    } catch (error) {
      if (!(error instanceof CkrError && classifyCkr(error.ckr, error.fn, this.#profile?.rows) === 'data')) throw error
    }
    throw new OperationFailure('mismatch', `the key ${label} does not open the record registered with it`)
  }

  /** iv(12) ‖ ct ‖ tag(16) under a fresh random iv. */
  async encrypt(session: Session, handle: Handle, aad: Buffer, plaintext: Buffer): Promise<Buffer> {
    const iv = randomBytes(IV_LENGTH)
    const input = { iv, aad, input: plaintext }
    const length = await this.#module.encrypt(session.handle, handle, input, session.out)
    if (length !== plaintext.length + TAG_LENGTH) throw new WrongAnswer(`an AES-GCM record of ${length} bytes`)
    const wrapped = Buffer.allocUnsafeSlow(IV_LENGTH + length)
    iv.copy(wrapped)
    session.out.copy(wrapped, IV_LENGTH, 0, length)
    return wrapped
  }

  /** The plaintext, which the caller wipes. */
  async decrypt(session: Session, handle: Handle, aad: Buffer, wrapped: Buffer): Promise<Buffer> {
    const gcm = { iv: wrapped.subarray(0, IV_LENGTH), aad, input: wrapped.subarray(IV_LENGTH) }
    const length = await this.#module.decrypt(session.handle, handle, gcm, session.out)
    if (length !== wrapped.length - IV_LENGTH - TAG_LENGTH) throw new WrongAnswer(`a plaintext of ${length} bytes`)
    const plaintext = secretCopy(session.out.subarray(0, length))
    session.out.fill(0)
    return plaintext
  }
}
