import { randomUUID } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { FileIds } from '../src/client/file-ids.js'
import { OpenFiles } from '../src/client/open-files.js'

/** Ids that count up, as UUIDv7 does within a millisecond. */
const counted = (n: number): string => `0190b3c0-0000-7000-8000-${n.toString(16).padStart(12, '0')}`
const many = (n: number): string[] => Array.from({ length: n }, (_, place) => counted(place))

describe('FileIds', () => {
  test.each([0, 1, 4_095, 4_096, 4_097, 8_193])('keeps %d ids in their order', (n) => {
    const ids = new FileIds(many(n))
    expect(ids.size).toBe(n)
    expect(Array.from({ length: n }, (_, place) => ids.at(place))).toEqual(many(n))
    expect(() => ids.at(n)).toThrow(RangeError)
    expect(() => ids.at(-1)).toThrow(RangeError)
  })

  test.each([0, 1, 10, 11, 10_000])('indexed, knows the place of each of %d ids, and takes each once', (n) => {
    const all = [...many(Math.ceil(n / 2)), ...Array.from({ length: Math.floor(n / 2) }, () => randomUUID())]
    const ids = new FileIds([...all, ...all], { indexed: true })
    expect(ids.size).toBe(n)
    expect(all.map((id) => ids.placeOf(id))).toEqual(all.map((_, place) => place))
    for (const other of [randomUUID(), '', 'no id']) expect(ids.placeOf(other)).toBe(-1)
  })

  test('a million ids take 16 bytes each, 12 more with their index', () => {
    const n = 1_000_000
    const block = 65_536
    const [plain, indexed] = [new FileIds(), new FileIds([], { indexed: true })]
    for (let place = 0; place < n; place++) {
      plain.add(counted(place))
      indexed.add(counted(place))
    }
    expect(plain.bytes).toBeLessThanOrEqual(16 * n + block)
    expect(indexed.bytes).toBeLessThanOrEqual(28 * n + block)
  })

  test.each(['', 'x', '0190b3c0-0000-7000-8000-00000000000', '0190b3c0-0000-7000-8000-00000000000g'])(
    'refuses %j',
    (text) => {
      expect(() => new FileIds([text])).toThrow(TypeError)
    },
  )
})

describe('OpenFiles', () => {
  test('gives the open ones in turn, and no other again before all were given', () => {
    const open = new OpenFiles(new FileIds(many(5), { indexed: true }))
    expect(open.next(2)).toEqual([0, 1])
    expect([open.end(2), open.end(2), open.size]).toEqual([true, false, 4])
    expect(open.next(2)).toEqual([3, 4])
    expect(open.next(9)).toEqual([0, 1, 3, 4])
    expect([open.placeOf(counted(3)), open.placeOf(counted(2)), open.placeOf(randomUUID())]).toEqual([3, -1, -1])
    for (const place of [0, 1, 3, 4]) open.end(place)
    expect([open.size, open.next(9)]).toEqual([0, []])
  })
})
