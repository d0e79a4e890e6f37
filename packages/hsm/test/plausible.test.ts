import { randomFillSync } from 'node:crypto'

import { describe, expect, it } from 'vitest'

import { implausibility, MIN_BITS, MIN_DIFFERENCES, MIN_DISTINCT } from '../src/plausible.js'

/** 32 bytes that pass: the base of the boundaries below. */
const FINE = Buffer.from('9c3fd1582ae6740bb81dcf6093a54e21f70a8633c95e7d14e2485bbf1690ad69', 'hex')

const bytes = (at: (i: number) => number): Buffer => Buffer.from(Array.from({ length: 32 }, (_, i) => at(i) & 0xff))
const changed = (change: (copy: Buffer) => void): Buffer => {
  const copy = Buffer.from(FINE)
  change(copy)
  return copy
}

/** Exactly `distinct` values and no pattern in their differences. */
function withDistinct(distinct: number): Buffer {
  return bytes((i) => (i < distinct ? (FINE[i] ?? 0) : (FINE[(i * i * 7 + 3 * i) % distinct] ?? 0)))
}

/** Exactly `bits` bits set, spread over many values. */
function withBits(bits: number): Buffer {
  const output = changed((copy) => copy)
  const count = () => [...output].reduce((sum, byte) => sum + byte.toString(2).replaceAll('0', '').length, 0)
  for (let bit = 0; count() !== bits; bit = (bit + 37) % 256) {
    const [at, mask] = [bit >> 3, 1 << (bit & 7)]
    if (count() > bits === ((output[at] ?? 0) & mask) > 0) output[at] = (output[at] ?? 0) ^ mask
  }
  return output
}

describe('bytes that no HMAC gives', () => {
  it.each<[string, Uint8Array, string | undefined]>([
    ['a random output', FINE, undefined],
    ['31 bytes', FINE.subarray(1), 'length'],
    ['no bytes', Buffer.alloc(0), 'length'],
    ['zeros', Buffer.alloc(32), 'zero'],
    ['ones', Buffer.alloc(32, 0xff), 'repeated'],
    ['one byte over and over', Buffer.alloc(32, 0xa5), 'repeated'],
    ['zeros but for the last bit', changed((copy) => copy.fill(0, 0, 31)), 'repeated'],
    ['equal halves', changed((copy) => copy.copy(copy, 16, 0, 16)), 'repeated'],
    ['its first 8 bytes at the end again', changed((copy) => copy.copy(copy, 24, 0, 8)), 'repeated'],
    ['7 bytes of a block again', changed((copy) => copy.copy(copy, 24, 0, 7)), undefined],
    ['a block again, but for one bit', changed((copy) => (copy.copy(copy, 8, 0, 8), (copy[8]! ^= 1))), undefined],
    ['counting up', bytes((i) => i), 'pattern'],
    ['counting down by sevens', bytes((i) => -7 * i), 'pattern'],
    ['squares', bytes((i) => i * i), undefined],
    ['letters of a hexadecimal number', Buffer.from('3f1d08b2c6e94a75bd20f1a8c37e9564'), undefined],
    ['a key in ASCII digits', Buffer.from('31415926535897932384626433832795'), 'few-values'],
    [`${MIN_DISTINCT - 1} values`, withDistinct(MIN_DISTINCT - 1), 'few-values'],
    [`${MIN_DISTINCT} values`, withDistinct(MIN_DISTINCT), undefined],
    [`${MIN_BITS - 1} bits`, withBits(MIN_BITS - 1), 'few-bits'],
    [`${MIN_BITS} bits`, withBits(MIN_BITS), undefined],
    [`${256 - MIN_BITS} bits`, withBits(256 - MIN_BITS), undefined],
    [`${256 - MIN_BITS + 1} bits`, withBits(256 - MIN_BITS + 1), 'few-bits'],
  ])('%s', (_name, output, expected) => {
    expect(implausibility(output)).toBe(expected)
  })

  it('has a bound of differences that counters and ramps stay below, and random bytes above', () => {
    expect(MIN_DIFFERENCES).toBeLessThan(20)
    for (let step = 1; step < 256; step += 1) expect(implausibility(bytes((i) => 3 + step * i))).toBeDefined()
  })

  it('refuses none of 100,000 random outputs', () => {
    const draws = Buffer.alloc(32 * 10_000)
    for (let round = 0; round < 10; round += 1) {
      randomFillSync(draws)
      for (let at = 0; at < draws.length; at += 32) {
        const output = draws.subarray(at, at + 32)
        const what = implausibility(output)
        if (what !== undefined) expect.fail(`${output.toString('hex')} is refused as ${what}`)
      }
    }
  })
})
