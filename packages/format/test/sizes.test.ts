import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { objectLength, plaintextLength, segmentCount, segmentSize } from '../src/sizes.js'
import { geometryOfPlaintext, segmentLength, segmentOffset } from '../src/sizes.js'
import { BOUNDARIES, S } from './fixtures.js'

const MAX = 2 ** 44

describe('lengths', () => {
  it.each([
    [0, 1, 448],
    [1, 1, 449],
    [16, 1, 464],
    [S - 1, 1, 447 + S],
    [S, 1, 448 + S],
    [S + 1, 2, 481 + S],
    [2 * S, 2, 480 + 2 * S],
    [2 * S + 1, 3, 513 + 2 * S],
    [MAX, 2 ** 28, 416 + MAX + 32 * 2 ** 28],
  ])('L = %i: n = %i, T = %i', (length, count, total) => {
    expect(segmentCount(length, 16)).toBe(count)
    expect(objectLength(length, 16)).toBe(total)
    expect(plaintextLength(total, 16)).toBe(length)
  })

  it('inverts for every length and segment size', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: MAX }), fc.integer({ min: 16, max: 24 }), (length, segLog2) => {
        expect(plaintextLength(objectLength(length, segLog2), segLog2)).toBe(length)
      }),
    )
  })

  it('inverts next to every multiple of S', () => {
    const near = fc.tuple(fc.integer({ min: 16, max: 24 }), fc.nat(), fc.integer({ min: -40, max: 40 }))
    fc.assert(
      fc.property(near, ([segLog2, seed, delta]) => {
        const size = 2 ** segLog2
        const length = Math.min(MAX, Math.max(0, (seed % (MAX / size)) * size + delta))
        expect(plaintextLength(objectLength(length, segLog2), segLog2)).toBe(length)
      }),
    )
  })

  it('refuses every object length that no file gives, around the boundaries', () => {
    const possible = new Set<number>()
    for (let length = 0; length <= 2 * S + 100; length++) possible.add(objectLength(length, 16))
    const around = [0, ...BOUNDARIES.map((length) => objectLength(length, 16))]
    for (const middle of around) {
      for (let total = Math.max(0, middle - 70); total <= middle + 70; total++) {
        if (possible.has(total)) expect(objectLength(plaintextLength(total, 16), 16)).toBe(total)
        else
          expect(() => plaintextLength(total, 16), `T = ${total}`).toThrow(
            expect.objectContaining({ code: 'E_LENGTH' }),
          )
      }
    }
  })

  it.each([-1, 0.5, NaN, Infinity, 2 ** 53, objectLength(MAX, 16) + 1])('refuses T = %d', (total) => {
    expect(() => plaintextLength(total, 16)).toThrow(expect.objectContaining({ code: 'E_LENGTH' }))
  })

  it('refuses more than 2^44 bytes, and segment sizes outside 16..24', () => {
    expect(() => objectLength(MAX + 1, 24)).toThrow(expect.objectContaining({ code: 'E_LENGTH' }))
    for (const segLog2 of [15, 25, 16.5, -1, NaN]) expect(() => segmentSize(segLog2)).toThrow(RangeError)
  })

  it.each(BOUNDARIES)('segments of %i bytes tile the object without a gap', (length) => {
    const geometry = geometryOfPlaintext(length, 16)
    let at = 320
    for (let i = 0; i < geometry.segmentCount; i++) {
      expect(segmentOffset(geometry, i)).toBe(at)
      at += segmentLength(geometry, i) + 32
    }
    expect(at + 96).toBe(geometry.objectLength)
  })
})
