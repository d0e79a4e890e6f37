import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { bufferReader } from '../src/reader.js'
import { openObject } from '../src/open.js'
import { collect } from './bytes.js'
import { S, codeOf, flipBit, sealed } from './fixtures.js'

describe('ranges', () => {
  it('are what a slice of the plaintext is, and read no more segments than they need', async () => {
    const { bytes, opening, plaintext } = await sealed(3 * S + 7)
    const L = plaintext.length
    const reads: [number, number][] = []
    const inner = bufferReader(bytes)
    const reader = {
      length: inner.length,
      read: (offset: number, length: number) => {
        reads.push([offset, length])
        return inner.read(offset, length)
      },
    }
    using object = await openObject(reader, opening)
    const near = [0, 1, 15, 16, 17, S - 1, S, S + 1, 2 * S, 2 * S + 16, 3 * S - 1, 3 * S, L - 1, L]
    for (const start of near) {
      for (const end of near.filter((position) => position >= start)) {
        reads.length = 0
        const range = await collect(object.readRange(start, end))
        expect(range.equals(plaintext.subarray(start, end)), `${start}-${end}`).toBe(true)
        if (start === end) expect(reads).toEqual([])
        else {
          const [first, last] = [Math.floor(start / S), Math.floor((end - 1) / S)]
          const until = Math.min(320 + (last + 1) * (S + 32), bytes.length - 96)
          expect(reads).toEqual([[320 + first * (S + 32), until - (320 + first * (S + 32))]])
        }
      }
    }
  })

  it('any of them', async () => {
    const { bytes, opening, plaintext } = await sealed(2 * S + 100, { suite: 2 })
    using object = await openObject(bufferReader(bytes), opening)
    const position = fc.integer({ min: 0, max: plaintext.length })
    await fc.assert(
      fc.asyncProperty(position, position, async (a, b) => {
        const [start, end] = [Math.min(a, b), Math.max(a, b)]
        expect((await collect(object.readRange(start, end))).equals(plaintext.subarray(start, end))).toBe(true)
      }),
    )
  })

  it.each([
    [-1, 1],
    [0, 11],
    [5, 4],
    [0.5, 1],
    [NaN, 1],
  ])('%d to %d is no range of 10 bytes', async (start, end) => {
    const { bytes, opening } = await sealed(10)
    using object = await openObject(bufferReader(bytes), opening)
    expect(() => object.readRange(start, end)).toThrow(RangeError)
    expect(await collect(object.readRange(0, 10))).toHaveLength(10)
  })

  it('say nothing of segments they do not touch', async () => {
    const { bytes, opening, plaintext } = await sealed(3 * S)
    const damaged = flipBit(bytes, 8 * (320 + S + 32 + 5))
    using object = await openObject(bufferReader(damaged), opening)
    expect((await collect(object.readRange(0, S))).equals(plaintext.subarray(0, S))).toBe(true)
    expect((await collect(object.readRange(2 * S, 3 * S))).equals(plaintext.subarray(2 * S))).toBe(true)
    expect(await codeOf(collect(object.readRange(S - 1, S + 1)))).toBe('E_SEGMENT_AUTH')
  })
})
