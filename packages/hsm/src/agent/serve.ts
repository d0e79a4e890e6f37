import { parseKeyLabel, secretCopy, wipe } from '@sealfleet/format'

import { isAllowedHmacInput, isNoncesAad, NONCES_LENGTH, WRAPPED_LENGTH } from '../inputs.js'
import type { FrameWriter } from '../wire/frame-writer.js'
import { decodeJson, KIND, type Frame } from '../wire/frames.js'
import { unpackAead, unpackKeyed, type Expect } from '../wire/messages.js'
import { applyPad, padLength } from '../wire/pads.js'
import { CkrError } from './cryptoki.js'
import { describe, OperationFailure } from './failure.js'
import type { Operations } from './operations.js'

const HMAC_LENGTH = 32

/**
 * Answers the operations of the pool: one OK or ERROR frame for each request, in any order. A frame is wiped when its
 * handler returns, so the module's inputs are copied first.
 */
export class PoolServer {
  readonly #operations: Operations
  readonly #writer: FrameWriter

  constructor(operations: Operations, writer: FrameWriter) {
    this.#operations = operations
    this.#writer = writer
  }

  /** False: not a frame for this server. */
  handle(frame: Frame): boolean {
    switch (frame.kind) {
      case KIND.HMAC:
        this.#answer(frame.id, this.#hmac(frame))
        return true
      case KIND.SEAL:
        this.#answer(frame.id, this.#hmac(frame, true))
        return true
      case KIND.ANSWER:
        this.#answer(frame.id, this.#knownAnswer(frame))
        return true
      case KIND.KCV:
        this.#answer(frame.id, this.#checkValue(frame))
        return true
      case KIND.WRAP:
        this.#answer(frame.id, this.#wrap(frame))
        return true
      case KIND.UNWRAP:
        this.#answer(frame.id, this.#unwrap(frame))
        return true
      case KIND.BIND:
        this.#answer(frame.id, this.#bind(frame))
        return true
      case KIND.PING:
        this.#answer(frame.id, this.#ping(frame))
        return true
      case KIND.EXPECT:
        this.#operations.keys.expect(decodeJson<Expect>(frame))
        return true
      default:
        return false
    }
  }

  /** `reply` sends its own OK frame while the bytes still lie in the session's buffer. */
  #answer(id: number, reply: Promise<void>): void {
    reply.catch((error: unknown) => {
      this.#writer.sendJson(KIND.ERROR, id, failureOf(error).toMessage())
    })
  }

  #ok(id: number, ...parts: readonly Uint8Array[]): void {
    this.#writer.send(KIND.OK, id, parts)
  }

  /**
   * `sealing`: the answer is sent only if the key's known answer is right afterwards, on the same session. This finds a
   * token that began to compute wrongly before this derivation, before its output is used for sealing.
   */
  async #hmac({ id, kind, payload }: Frame, sealing = false): Promise<void> {
    const { label, message } = unpackKeyed(payload.subarray(padLength(kind)))
    const ref = parseKeyLabel(label)
    if (ref === null || !isAllowedHmacInput(ref, message)) throw refused('not an input of this key')
    const input = secretCopy(message)
    const pad = secretCopy(payload.subarray(0, padLength(kind)))
    try {
      await this.#operations.run(label, async (session, key) => {
        session.input = [input]
        await this.#operations.keys.hmac(session, key, input)
        if (sealing) await this.#operations.keys.compareAnswer(label, session, key)
        applyPad(session.out, pad)
        this.#ok(id, session.out.subarray(0, HMAC_LENGTH))
      })
    } finally {
      wipe(input, pad)
    }
  }

  /** Finds the key and checks it; a KEK's record is checked even if the key was found before. The answer is empty. */
  async #bind({ id, payload }: Frame): Promise<void> {
    const { label } = unpackKeyed(payload)
    if (parseKeyLabel(label) === null) throw refused('not the label of a master key')
    await this.#operations.run(label, (session, key) => this.#operations.keys.recheckRecord(label, session, key))
    this.#ok(id)
  }

  /** One round trip through a session of the token. The answer is empty. */
  async #ping({ id }: Frame): Promise<void> {
    await this.#operations.ping()
    this.#ok(id)
  }

  async #checkValue({ id, payload }: Frame): Promise<void> {
    const { label } = unpackKeyed(payload)
    const ref = parseKeyLabel(label)
    if (ref === null || ref.role === 'kek') throw refused('a key that has no check value')
    const { keys } = this.#operations
    const kcv = await this.#operations.run(label, async (session, key) => {
      await keys.compareAnswer(label, session, key)
      return keys.comparedValue(label, session, key)
    })
    this.#ok(id, kcv)
  }

  /** The known answer as the token computes it now, for a key without a registered one. */
  async #knownAnswer({ id, payload }: Frame): Promise<void> {
    const { label } = unpackKeyed(payload)
    const { keys } = this.#operations
    this.#ok(id, await this.#operations.run(label, (session, key) => keys.knownAnswer(label, session, key)))
  }

  async #wrap({ id, payload }: Frame): Promise<void> {
    const { label, aad, input } = unpackAead(payload)
    if (parseKeyLabel(label)?.role !== 'kek' || !isNoncesAad(aad) || input.length !== NONCES_LENGTH) {
      throw refused('not a pair of nonces')
    }
    const [data, plaintext] = [secretCopy(aad), secretCopy(input)]
    try {
      await this.#operations.run(label, async (session, key) => {
        session.input = [plaintext, data]
        this.#ok(id, await this.#operations.keys.encrypt(session, key, data, plaintext))
      })
    } finally {
      wipe(plaintext, data)
    }
  }

  async #unwrap({ id, kind, payload }: Frame): Promise<void> {
    const { label, aad, input } = unpackAead(payload.subarray(padLength(kind)))
    if (parseKeyLabel(label)?.role !== 'kek' || !isNoncesAad(aad) || input.length !== WRAPPED_LENGTH) {
      throw refused('not a record of wrapped nonces')
    }
    const [data, wrapped] = [secretCopy(aad), secretCopy(input)]
    const pad = secretCopy(payload.subarray(0, padLength(kind)))
    try {
      await this.#operations.run(label, async (session, key) => {
        session.input = [wrapped, data]
        const nonces = await this.#operations.keys.decrypt(session, key, data, wrapped)
        try {
          applyPad(nonces, pad)
          this.#ok(id, nonces)
        } finally {
          wipe(nonces)
        }
      })
    } finally {
      wipe(data, wrapped, pad)
    }
  }
}

function refused(text: string): OperationFailure {
  return new OperationFailure('refused', text)
}

export function failureOf(error: unknown): OperationFailure {
  if (error instanceof OperationFailure) return error
  const verdict = error instanceof CkrError ? 'recycle' : 'refused'
  return new OperationFailure(verdict, describe(error), error)
}
