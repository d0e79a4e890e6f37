import { randomFillSync } from 'node:crypto'

import { secret, wipe } from '@sealfleet/format'

import { KIND, type Kind } from './frames.js'

/**
 * Secret answers cross the pipe under a one-time pad: the request carries as many random bytes as its answer has, and
 * the agent answers with the XOR of both.
 *
 * Node reads a child's pipe into its own memory, copies the data elsewhere and frees the first buffer unwiped
 * (stream_base.cc; child_process offers no buffer to read into). The bytes left there are useless without the pad,
 * which stays in the arena until the answer arrives. An agent reads into one buffer that it wipes.
 */
const LENGTHS: ReadonlyMap<number, number> = new Map([
  [KIND.HMAC, 32],
  [KIND.SEAL, 32],
  [KIND.UNWRAP, 64],
])

/** Bytes of the pad that a request of this kind starts with; 0: its answer is not secret. */
export function padLength(kind: number): number {
  return LENGTHS.get(kind) ?? 0
}

/** XORs `pad` into `bytes`, in place: applies the pad and removes it. */
export function applyPad(bytes: Uint8Array, pad: Uint8Array): void {
  for (let i = 0; i < pad.length; i++) bytes[i] = (bytes[i] ?? 0) ^ (pad[i] ?? 0)
}

/** The pads of requests that one agent has not answered. */
export class Pads {
  readonly #pads = new Map<number, Buffer>()

  /** A fresh pad for a request; undefined if its answer needs none. Sent once. */
  open(kind: Kind, id: number): Buffer | undefined {
    const length = padLength(kind)
    if (length === 0) return undefined
    const pad = secret(length)
    randomFillSync(pad)
    this.close(id)
    this.#pads.set(id, pad)
    return pad
  }

  /** Removes the pad from an answer, in place. An answer of another length stays as it is: it is refused anyway. */
  lift(id: number, answer: Uint8Array): void {
    const pad = this.#pads.get(id)
    if (pad?.length === answer.length) applyPad(answer, pad)
    this.close(id)
  }

  /** Drops the pad of a request without an answer, or whose answer is ignored. */
  close(id: number): void {
    wipe(this.#pads.get(id))
    this.#pads.delete(id)
  }

  closeAll(): void {
    for (const id of this.#pads.keys()) this.close(id)
  }
}
