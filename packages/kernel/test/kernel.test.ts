import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { jobsAtOnce } from '../src/kernel.js'
import { PATHS, type Sample, kernelOf, sampleOf, segmentOf } from './samples.js'

/** Around the blocks of AES and SHA-256, the slice, and the length from which a thread does the work. */
const LENGTHS = [0, 1, 15, 16, 17, 55, 56, 63, 64, 65, 4095, 16383, 16384, 16385, 32767, 32768, 32769, 65536, 100_001]

describe.each(PATHS)('%s', (path) => {
  const kernel = kernelOf(path)

  it.each(LENGTHS.flatMap((length) => ([16, 32] as const).map((key) => [length, key] as const)))(
    'seals, verifies and opens %i bytes with a key of %i as Node does',
    async (length, keyLength) => {
      const sample = sampleOf(length, keyLength, 3)
      const sealing = segmentOf(sample, 'seal')
      expect(await kernel.run(sealing)).toBe(true)
      expect(Buffer.from(sealing.data).equals(sample.ciphertext)).toBe(true)
      expect(Buffer.from(sealing.tag).equals(sample.tag)).toBe(true)
      const verifying = segmentOf(sample, 'verify', { keys: () => ({ ...sample.keys, cipher: undefined as never }) })
      expect(await kernel.run(verifying)).toBe(true)
      expect(Buffer.from(verifying.data).equals(sample.ciphertext)).toBe(true)
      const opening = segmentOf(sample, 'open')
      expect(await kernel.run(opening)).toBe(true)
      expect(Buffer.from(opening.data).equals(sample.plaintext)).toBe(true)
    },
  )

  it('does any mixture at once: each segment comes out as it would alone', async () => {
    const one = fc.record({
      length: fc.oneof(fc.constantFrom(...LENGTHS), fc.integer({ min: 32_000, max: 70_000 })),
      operation: fc.constantFrom('seal', 'verify', 'open'),
      keyLength: fc.constantFrom(16, 32),
      block: fc.nat(5),
      from: fc.double({ min: 0, max: 1, noNaN: true }),
      to: fc.double({ min: 0, max: 1, noNaN: true }),
      flip: fc.option(fc.nat(8 * 32 - 1)),
    })
    await fc.assert(
      fc.asyncProperty(fc.array(one, { minLength: 1, maxLength: 9 }), async (works) => {
        const done = works.map(async ({ length, operation, keyLength, block, flip, ...part }) => {
          const sample = sampleOf(length, keyLength, block)
          const [from = 0, to = 0] = [part.from, part.to].map((at) => Math.floor(at * length)).sort((a, b) => a - b)
          const segment = segmentOf(sample, operation, { range: { from, to } })
          const forged = operation !== 'seal' && flip !== null
          if (forged) segment.tag[flip >> 3] = Number(segment.tag[flip >> 3]) ^ (1 << (flip & 7))
          expect(await kernel.run(segment)).toBe(!forged)
          expect(Buffer.from(segment.data).equals(expected(sample, operation, forged, from, to))).toBe(true)
        })
        await Promise.all(done)
      }),
      { numRuns: 60 },
    )
  })

  it('decrypts nothing of a segment in which one bit is another', async () => {
    const sample = sampleOf(70_000)
    for (const bit of [0, 8 * 35_000 + 3, 8 * 70_000 - 1]) {
      const segment = segmentOf(sample, 'open')
      segment.data[bit >> 3] = Number(segment.data[bit >> 3]) ^ (1 << (bit & 7))
      const before = Buffer.from(segment.data)
      expect(await kernel.run(segment)).toBe(false)
      expect(Buffer.from(segment.data).equals(before)).toBe(true)
    }
  })

  it('wraps the counter over all 128 bits, from any block', async () => {
    const sample = sampleOf(70_000)
    const counter = Buffer.alloc(16, 0xff)
    const keys = { ...sample.keys, cipher: { ...sample.keys.cipher, counter, block: 2 ** 40 } }
    const segment = segmentOf(sample, 'seal', { keys: () => keys })
    await kernel.run(segment)
    // 2^128 − 1 + 2^40 is 2^40 − 1.
    const same = Buffer.from('0000000000000000000000ffffffffff', 'hex')
    const other = segmentOf(sample, 'seal', {
      keys: () => ({ ...keys, cipher: { ...keys.cipher, counter: same, block: 0 } }),
    })
    await kernel.run(other)
    expect(Buffer.from(segment.data).equals(other.data)).toBe(true)
  })

  it('reads the keys when the work starts, and copies them: they may be wiped at once', async () => {
    const sample = sampleOf(2 ** 20)
    const single = kernelOf(path, 1)
    const macKey = Uint8Array.from(sample.keys.macKey)
    const running = single.run(segmentOf(sample, 'verify', { keys: () => ({ ...sample.keys, macKey }) }))
    await Promise.resolve()
    await Promise.resolve()
    macKey.fill(0)
    expect(await running).toBe(true)
  })

  it('rejects what has no keys any more or wrong lengths, and that alone', async () => {
    const good = sampleOf(40_000)
    const gone = segmentOf(good, 'seal', {
      keys: () => {
        throw new Error('wiped')
      },
    })
    const wrong = segmentOf(good, 'seal', { keys: () => ({ ...good.keys, macKey: Buffer.alloc(31) }) })
    for (const bad of [gone, wrong]) {
      const before = Buffer.from(bad.data)
      const results = await Promise.allSettled(
        [segmentOf(good, 'open'), bad, segmentOf(good, 'open')].map((s) => kernel.run(s)),
      )
      expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
      expect(Buffer.from(bad.data).equals(before)).toBe(true)
    }
    const small = segmentOf(sampleOf(5), 'seal', { keys: gone.keys })
    await expect(kernel.run(small)).rejects.toThrow('wiped')
  })

  it('refuses memory that may shrink under a thread', async () => {
    const resizable = new (ArrayBuffer as new (length: number, o: object) => ArrayBuffer)(40_000, {
      maxByteLength: 80_000,
    })
    const segment = segmentOf(sampleOf(40_000), 'verify', { data: new Uint8Array(resizable) })
    await expect(kernel.run(segment)).rejects.toThrow('fixed length')
  })

  it('holds its memory until it is done, though no one else does', async () => {
    setFlagsFromString('--expose-gc')
    const collect = runInNewContext('gc') as () => void
    const samples = Array.from({ length: 12 }, () => sampleOf(500_000))
    const results = samples.map((sample) => kernel.run(segmentOf(sample, 'open')))
    for (let i = 0; i < 5; i++) {
      collect()
      await new Promise((resolve) => setImmediate(resolve))
    }
    expect(await Promise.all(results)).toEqual(samples.map(() => true))
  })
})

function expected(sample: Sample, operation: string, forged: boolean, from: number, to: number): Buffer {
  if (operation === 'seal' || operation === 'verify' || forged) return sample.ciphertext
  const opened = Buffer.from(sample.ciphertext)
  sample.plaintext.copy(opened, from, from, to)
  return opened
}

describe('jobs at once', () => {
  it('leave a thread of the pool free, and are never none', () => {
    for (const threads of [undefined, '', 'x', '0', '-3', '1.5']) expect(jobsAtOnce(threads)).toBeLessThanOrEqual(3)
    for (const threads of ['1', '2']) expect(jobsAtOnce(threads)).toBe(1)
  })
})
