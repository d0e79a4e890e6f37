/**
 * Memory that holds key material. Node serves `Buffer.from`, `Buffer.concat` and small `allocUnsafe` from a shared
 * 8 KiB slab, where a secret lies beside everybody else's bytes and where `buffer.buffer` hands it all out: so secrets
 * live in buffers of their own, and are filled with zeros in `finally`.
 */
import { timingSafeEqual } from 'node:crypto'

/** A zero-filled buffer with an ArrayBuffer of its own (`Buffer.alloc` never uses the slab). */
export function dedicated(length: number): Buffer {
  return Buffer.alloc(length)
}

/** A copy in a buffer of its own; the source is left as it is. */
export function dedicatedCopy(source: Uint8Array): Buffer {
  const copy = dedicated(source.length)
  copy.set(source)
  return copy
}

/** Moves bytes into a buffer of our own and fills the source with zeros. */
export function takeOver(source: Uint8Array): Buffer {
  const copy = dedicatedCopy(source)
  wipe(source)
  return copy
}

/** Fills with zeros. `undefined` is allowed, so that a `finally` need not ask what was reached. */
export function wipe(...secrets: readonly (Uint8Array | undefined)[]): void {
  for (const secret of secrets) secret?.fill(0)
}

/** Equal length and equal bytes, in time that depends on the length alone. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b)
}

/** All bytes zero, in time that depends on the length alone. */
export function isZero(bytes: Uint8Array): boolean {
  let seen = 0
  for (const byte of bytes) seen |= byte
  return seen === 0
}

/**
 * Awaits all secrets at once. If one can't be had, the others are wiped when they arrive and the first reason (in
 * order of the arguments) is thrown unchanged: nothing derived outlives a failure.
 */
export async function allOrWipe<const T extends readonly Promise<Buffer>[]>(
  ...pending: T
): Promise<{ [K in keyof T]: Buffer }> {
  const settled = await Promise.allSettled(pending)
  const failure = settled.find((outcome) => outcome.status === 'rejected')
  if (failure) {
    for (const outcome of settled) if (outcome.status === 'fulfilled') wipe(outcome.value)
    throw failure.reason
  }
  return settled.map((outcome) => (outcome as PromiseFulfilledResult<Buffer>).value) as { [K in keyof T]: Buffer }
}
