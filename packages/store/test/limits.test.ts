import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  DEFAULT_IN_FLIGHT,
  DEFAULT_MAX_OBJECT,
  DEFAULT_PART,
  MAX_PART,
  MAX_PARTS,
  MIB,
  MIN_PART,
  partCount,
  partSizeFor,
  queueSizeFor,
  type Limits,
} from '../src/limits.js'

const GIB = 1024 * MIB
const LIMITS: Limits = {
  partSize: DEFAULT_PART,
  queueSize: 4,
  maxBytesInFlight: DEFAULT_IN_FLIGHT,
  maxObjectLength: DEFAULT_MAX_OBJECT,
}

test.each([
  [0, 8 * MIB, 4],
  [1, 8 * MIB, 4],
  [8 * MIB, 8 * MIB, 4],
  [64 * GIB, 8 * MIB, 4],
  [MAX_PARTS * 8 * MIB, 8 * MIB, 4],
  [MAX_PARTS * 8 * MIB + 1, 9 * MIB, 4],
  [1024 * GIB, 105 * MIB, 1],
  [5 * 1024 * GIB, 525 * MIB, 1],
])('an object of %d bytes has parts of %d, %d in flight', (length, part, queue) => {
  expect(partSizeFor(length, LIMITS)).toBe(part)
  expect(queueSizeFor(length, LIMITS)).toBe(queue)
})

test('every length the store takes fits into 10,000 parts within S3’s sizes', () => {
  const partSize = fc.integer({ min: MIN_PART, max: 64 * MIB })
  fc.assert(
    fc.property(fc.integer({ min: 0, max: DEFAULT_MAX_OBJECT }), partSize, (length, configured) => {
      const part = partSizeFor(length, { ...LIMITS, partSize: configured })
      expect(part).toBeGreaterThanOrEqual(configured)
      expect(part).toBeLessThanOrEqual(MAX_PART)
      expect(partCount(length, part)).toBeLessThanOrEqual(MAX_PARTS)
      expect(part * partCount(length, part)).toBeGreaterThanOrEqual(length)
    }),
  )
})

test('beyond the store’s limit, or beyond 10,000 of the largest parts, is SOURCE_TOO_LARGE', () => {
  expect(() => partSizeFor(DEFAULT_MAX_OBJECT + 1, LIMITS)).toThrow(
    expect.objectContaining({ code: 'SOURCE_TOO_LARGE' }),
  )
  const boundless = { ...LIMITS, maxObjectLength: Number.MAX_SAFE_INTEGER }
  expect(partSizeFor(MAX_PART * MAX_PARTS, boundless)).toBe(MAX_PART)
  expect(() => partSizeFor(MAX_PART * MAX_PARTS + 1, boundless)).toThrow(
    expect.objectContaining({ code: 'SOURCE_TOO_LARGE' }),
  )
})

test.each([-1, 0.5, Number.NaN, Infinity])('%d is no length', (length) => {
  expect(() => partSizeFor(length, LIMITS)).toThrow(RangeError)
})
