/**
 * Memory that holds key material. Node serves `Buffer.from`, `Buffer.concat` and small `allocUnsafe` from a shared 8
 * KiB slab, and V8 keeps small typed arrays on its heap (arena.ts). So derived bytes live in the arena, and secrets
 * longer than a slot in their own ArrayBuffer; both are filled with zeros in `finally`.
 */
import { timingSafeEqual } from 'node:crypto'
import { SLOT_LENGTH, secrets } from './arena.js'

/** Zero bytes for a secret. The caller returns them with `wipe`, on every path. */
export function secret(length: number): Buffer {
  return length <= SLOT_LENGTH ? secrets.take(length) : dedicated(length)
}

/** A copy for a secret; the source is unchanged. */
export function secretCopy(source: Uint8Array): Buffer {
  const copy = secret(source.length)
  copy.set(source)
  return copy
}

/**
 * The same bytes in the arena: returned as they are if they already lie there, else moved, and the source is filled
 * with zeros.
 */
export function takeOver(source: Uint8Array): Buffer {
  if (Buffer.isBuffer(source) && secrets.holds(source)) return source
  const copy = secretCopy(source)
  wipe(source)
  return copy
}

/** Zero bytes in their own ArrayBuffer, outside V8's heap whatever their number. */
export function dedicated(length: number): Buffer {
  return Buffer.from(new ArrayBuffer(length))
}

/** A copy in its own ArrayBuffer; the source is unchanged. */
export function dedicatedCopy(source: Uint8Array): Buffer {
  const copy = dedicated(source.length)
  copy.set(source)
  return copy
}

/**
 * Fills with zeros, and returns arena bytes to the arena: they must not be used any more. Any number of calls for the
 * same bytes. `undefined` is allowed, so that a `finally` need not check how far the code got.
 */
export function wipe(...bytes: readonly (Uint8Array | undefined)[]): void {
  for (const one of bytes) if (one !== undefined) secrets.release(one)
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
 * Awaits all secrets at once. If one fails, the others are wiped when they arrive and the first reason (in order of the
 * arguments) is thrown unchanged: no derived bytes outlive a failure.
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
