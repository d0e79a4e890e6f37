/** The arena in which derived bytes live: whose a slot is, and when. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { SLOT_LENGTH, SecretArena, secrets } from '../src/arena.js'
import { createSealer } from '../src/seal.js'
import { deriveDataKey, deriveSigningKey } from '../src/derivation.js'
import { Keystream } from '../src/keystream.js'
import { mac } from '../src/mac.js'
import { wipe } from '../src/secret.js'
import { SegmentMac } from '../src/segment.js'
import { ATTEMPT, MASTERS } from './fixtures.js'
import { SoftwareHsm } from './software-hsm.js'

const small = () => new SecretArena({ pageLength: 4 * SLOT_LENGTH, maxPages: 2 })

describe('an arena', () => {
  it.each([1, 32, 64, 65, SLOT_LENGTH])('hands out %i zero bytes, outside of V8’s heap', (length) => {
    const view = small().take(length)
    expect(view).toEqual(Buffer.alloc(length))
    expect(view.buffer.byteLength).toBe(4 * SLOT_LENGTH)
  })

  it.each([0, -1, 1.5, SLOT_LENGTH + 1])('has no slot of %d bytes', (length) => {
    expect(() => small().take(length)).toThrow(RangeError)
  })

  it('wipes a slot that is released, and hands it out again last of all', () => {
    const arena = small()
    const [first, second] = [arena.take(32).fill(1), arena.take(32).fill(2)]
    arena.release(first)
    arena.release(second)
    expect([first, second].every((view) => view.every((byte) => byte === 0))).toBe(true)
    const next = [arena.take(32), arena.take(32), arena.take(32), arena.take(32)]
    expect(next.map((view) => view.byteOffset)).toEqual([
      2 * SLOT_LENGTH,
      3 * SLOT_LENGTH,
      first.byteOffset,
      second.byteOffset,
    ])
  })

  it('leaves a slot alone that is another’s by now, however often the first owner releases it', () => {
    const arena = small()
    const old = arena.take(32)
    const others = Array.from({ length: 7 }, () => arena.take(32))
    arena.release(old)
    const next = arena.take(32).fill(7)
    expect(next.byteOffset).toBe(old.byteOffset)
    arena.release(old)
    expect(next).toEqual(Buffer.alloc(32, 7))
    expect(arena.holds(next)).toBe(true)
    expect(arena.holds(old)).toBe(false)
    expect(arena.use.live).toBe(others.length + 1)
  })

  it('takes no part of a secret back', () => {
    const arena = small()
    expect(() => arena.release(arena.take(32).subarray(0, 16))).toThrow('only the view that was taken')
  })

  it('grows to its last page; beyond it a secret has an ArrayBuffer of its own, which is wiped all the same', () => {
    const arena = small()
    const taken = Array.from({ length: 9 }, () => arena.take(48).fill(9))
    expect(arena.use).toEqual({ pages: 2, live: 8, overflows: 1 })
    const own = taken.filter((view) => view.buffer.byteLength === SLOT_LENGTH)
    expect(own).toHaveLength(1)
    for (const view of taken) arena.release(view)
    expect(taken.every((view) => view.every((byte) => byte === 0))).toBe(true)
    expect(arena.use).toEqual({ pages: 2, live: 0, overflows: 1 })
  })

  it('never gives one slot to two owners', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(20)), (steps) => {
        const arena = small()
        const live: Buffer[] = []
        for (const step of steps) {
          if (step % 2 === 0 || live.length === 0) live.push(arena.take(1 + step).fill(step + 1))
          else arena.release(live.splice(step % live.length, 1)[0] ?? Buffer.of())
        }
        return live.every((view) => view.every((byte) => byte === view.length))
      }),
    )
  })
})

describe('a key that was wiped', () => {
  const keys = async () => {
    const hsm = new SoftwareHsm(MASTERS)
    return { dataKey: await deriveDataKey(hsm, ATTEMPT), signingKey: await deriveSigningKey(hsm, ATTEMPT) }
  }

  it('encrypts nothing and signs nothing: its slot may hold zeros, or the key of another attempt', async () => {
    const { dataKey, signingKey } = await keys()
    wipe(dataKey, signingKey)
    expect(() => new Keystream(1, dataKey)).toThrow('used after it was wiped')
    expect(() => new SegmentMac(signingKey, Buffer.alloc(32), 0, 0, true)).toThrow('used after it was wiped')
    expect(() => mac(signingKey, 'header')).toThrow('used after it was wiped')
    expect(() => mac(Buffer.alloc(32), 'keyCommit', dataKey)).toThrow('used after it was wiped')
  })

  it('is wiped when its sealer is, and its slot is free', async () => {
    const before = secrets.use.live
    const sealer = await createSealer(ATTEMPT, new SoftwareHsm(MASTERS))
    expect(secrets.use.live).toBe(before + 2)
    sealer.wipe()
    sealer.wipe()
    expect(secrets.use.live).toBe(before)
  })
})
