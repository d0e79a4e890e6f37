import { randomFillSync } from 'node:crypto'

import { secret, wipe } from '@sealfleet/format'

import { KIND, type Kind } from './frames.js'

/**
 * Secret answers cross the pipe under a one-time pad: the request brings as many random bytes as its answer has, and the
 * agent answers with the XOR of both.
 *
 * Node reads a child's pipe into memory of its own, copies what came into another piece and frees the first unwiped
 * (stream_base.cc; child_process offers no buffer to read into). What is left there is of no use without the pad, which
 * lies in the arena until its answer is there. An agent reads into one buffer that it wipes.
 */
const LENGTHS: ReadonlyMap<number, number> = new Map([
  [KIND.HMAC, 32],
  [KIND.SEAL, 32],
  [KIND.UNWRAP, 64],
])

/** Bytes of the pad that a request of this kind starts with; 0: its answer is no secret. */
export function padLength(kind: number): number {
  return LENGTHS.get(kind) ?? 0
}

/** XORs `pad` into `bytes`, in place: on, and off again. */
export function applyPad(bytes: Uint8Array, pad: Uint8Array): void {
  for (let i = 0; i < pad.length; i++) bytes[i] = (bytes[i] ?? 0) ^ (pad[i] ?? 0)
}

/** The pads of requests that one agent has not answered. */
export class Pads {
  readonly #pads = new Map<number, Buffer>()

  /** A fresh pad for a request; undefined where its answer needs none. Sent once. */
  open(kind: Kind, id: number): Buffer | undefined {
    const length = padLength(kind)
    if (length === 0) return undefined
    const pad = secret(length)
    randomFillSync(pad)
    this.close(id)
    this.#pads.set(id, pad)
    return pad
  }

  /** Takes the pad off an answer, in place. An answer of another length stays as it is: it is refused anyway. */
  lift(id: number, answer: Uint8Array): void {
    const pad = this.#pads.get(id)
    if (pad?.length === answer.length) applyPad(answer, pad)
    this.close(id)
  }

  /** There is no answer, or none that counts. */
  close(id: number): void {
    wipe(this.#pads.get(id))
    this.#pads.delete(id)
  }

  closeAll(): void {
    for (const id of this.#pads.keys()) this.close(id)
  }
}
