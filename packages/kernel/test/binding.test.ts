/** The addon itself, with arguments that no caller of ours would give: it refuses or works, and never crashes. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { SegmentArguments } from '../src/addon.js'
import { addon, sampleOf } from './samples.js'

function good(length = 100): SegmentArguments {
  const { plaintext, keys } = sampleOf(length)
  const { key, counter, block } = keys.cipher
  return [0, plaintext, Buffer.alloc(32), 0, length, key, counter, block, keys.macKey, keys.prefix]
}

const detached = (): Uint8Array => {
  const bytes = new Uint8Array(100)
  structuredClone(bytes.buffer, { transfer: [bytes.buffer] })
  return bytes
}

/** By position: one wrong argument each. */
const WRONG: readonly [at: number, values: readonly unknown[]][] = [
  [0, [-1, 3, 0.5, NaN, Infinity, '0', null, undefined, 0n, {}]],
  [
    1,
    [
      null,
      undefined,
      'text',
      [],
      {},
      7,
      new ArrayBuffer(100),
      new DataView(new ArrayBuffer(100)),
      new Uint16Array(50),
      new Uint8ClampedArray(100),
      new Uint8Array(new SharedArrayBuffer(100)),
      detached(),
      new Uint8Array(2 ** 24 + 1),
    ],
  ],
  [2, [null, new Uint8Array(31), new Uint8Array(33), new Uint8Array(0), detached(), 'x'.repeat(32), new Int8Array(32)]],
  [3, [-1, 101, 0.5, NaN, Infinity, -Infinity, 2 ** 53, '0', null]],
  [4, [-1, 101, 1.5, NaN, Infinity, 2 ** 64, undefined, {}]],
  [
    5,
    [
      null,
      undefined,
      new Uint8Array(15),
      new Uint8Array(17),
      new Uint8Array(24),
      new Uint8Array(33),
      new Uint8Array(0),
      'k'.repeat(16),
    ],
  ],
  [6, [null, new Uint8Array(15), new Uint8Array(17), detached(), 0]],
  [7, [-1, 0.5, NaN, 2 ** 40 + 1, Infinity, '1', null]],
  [8, [null, new Uint8Array(31), new Uint8Array(64), new Uint8Array(0), detached()]],
  [9, [null, new Uint8Array(63), new Uint8Array(65), detached(), 'p'.repeat(64)]],
]

describe('the addon', () => {
  it.each(WRONG.flatMap(([at, values]) => values.map((value) => [at, value] as const)))(
    'refuses argument %i: %o, before any work, alone and as the second of two',
    (at, value) => {
      const bad: unknown[] = [...good()]
      const before = Buffer.from(bad[1] as Buffer)
      const data = bad[1] as Buffer
      bad[at] = value
      for (const call of [addon.run, addon.runSync]) {
        expect(() => call(false, ...bad)).toThrow(TypeError)
        const first = good()
        const plaintext = Buffer.from(first[1])
        expect(() => call(true, ...first, ...bad)).toThrow(TypeError)
        expect(Buffer.from(first[1]).equals(plaintext)).toBe(true)
      }
      expect(data.equals(before)).toBe(true)
    },
  )

  it('refuses another number of arguments', () => {
    for (const length of [0, 1, 9, 11, 19, 21, 22, 40]) {
      const given = [...good(), ...good(), ...good(), ...good()].slice(0, length)
      expect(() => addon.runSync(false, ...given)).toThrow(TypeError)
      expect(() => addon.run(false, ...given)).toThrow(TypeError)
    }
    for (const lanes of [0, 1, undefined, null, 'true']) {
      expect(() => addon.runSync(lanes as unknown as boolean, ...good())).toThrow(TypeError)
    }
  })

  it('refuses memory that overlaps where one of two would write', () => {
    const memory = Buffer.alloc(1000)
    const at = (data: number, tag: number): unknown[] => {
      const given: unknown[] = [...good()]
      given[1] = memory.subarray(data, data + 100)
      given[2] = memory.subarray(tag, tag + 32)
      return given
    }
    for (const tag of [0, 69, 99]) expect(() => addon.runSync(false, ...at(0, tag))).toThrow('overlap')
    expect(addon.runSync(false, ...at(0, 100))).toBe(1)
    for (const [data, tag] of [
      [50, 500],
      [132, 40],
      [131, 400],
      [300, 131],
    ] as const) {
      expect(() => addon.runSync(false, ...at(0, 100), ...at(data, tag))).toThrow('overlap')
    }
    expect(addon.runSync(false, ...at(0, 100), ...at(132, 232))).toBe(3)
    expect(() => addon.runSync(false, ...at(0, 100).with(3, 60).with(4, 50))).toThrow('beyond')
  })

  it('survives anything', async () => {
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc.constantFrom(16, 32, 64).chain((n) => fc.uint8Array({ minLength: n, maxLength: n })),
    )
    const number = fc.oneof(fc.nat(3), fc.double(), fc.integer())
    const anything = fc.oneof(
      bytes,
      number,
      fc.anything({ withBigInt: true, withTypedArray: true, withNullPrototype: true }),
    )
    const shape = fc.tuple(number, bytes, bytes, number, number, bytes, bytes, number, bytes, bytes)
    const given = fc.oneof(
      fc.array(anything, { maxLength: 25 }),
      shape,
      fc.tuple(shape, shape).map((two) => two.flat()),
    )
    const lanes = fc.oneof(fc.boolean(), fc.anything())
    await fc.assert(
      fc.asyncProperty(lanes, given, async (flag, args) => {
        for (const call of [addon.run, addon.runSync]) {
          try {
            expect([0, 1, 2, 3]).toContain(await call(flag as boolean, ...args))
          } catch (error) {
            expect(error).toBeInstanceOf(TypeError)
          }
        }
      }),
      { numRuns: 2000 },
    )
  })
})
