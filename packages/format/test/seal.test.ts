import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type SealOptions, createSealer } from '../src/seal.js'
import { objectLength } from '../src/sizes.js'
import { SLICE_LENGTH } from '../src/keystream.js'
import { collect, patternBytes } from './bytes.js'
import { ATTEMPT, BOUNDARIES, FILE_ID, MASTERS, S, codeOf, openAll, sealed } from './fixtures.js'
import { SoftwareHsm } from './software-hsm.js'

const hsm = new SoftwareHsm(MASTERS)
const MODES = [
  { suite: 1, kekVersion: 0 },
  { suite: 1, kekVersion: 2 },
  { suite: 2, kekVersion: 0 },
  { suite: 2, kekVersion: 2 },
] as const

describe('sealing and opening', () => {
  it.each(BOUNDARIES.flatMap((length) => MODES.map((mode) => ({ length, ...mode }))))(
    '$length bytes, suite $suite, KEK $kekVersion',
    async ({ length, ...mode }) => {
      const { bytes, opening, plaintext } = await sealed(length, mode)
      expect(bytes).toHaveLength(objectLength(length, 16))
      expect((await openAll(bytes, opening)).equals(plaintext)).toBe(true)
    },
  )

  it.each([16, 20, 24])('segments of 2^%i bytes', async (segLog2) => {
    const { bytes, opening, plaintext } = await sealed(2 ** 20 + 3, { segLog2 })
    expect((await openAll(bytes, opening)).equals(plaintext)).toBe(true)
  })

  it('is one encoding for given plaintext, nonces and ids, however the bytes come and go', async () => {
    const cuts = fc.array(fc.integer({ min: 0, max: S + 20 }), { maxLength: 6 })
    const size = fc.oneof(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 1000, max: 3 * S }))
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...BOUNDARIES),
        cuts,
        size,
        fc.boolean(),
        async (length, lengths, chunkSize, known) => {
          const { bytes, plaintext } = await sealed(length)
          const source: Buffer[] = []
          let at = 0
          for (const take of [...lengths, length]) {
            source.push(plaintext.subarray(at, at + take))
            at = Math.min(length, at + take)
          }
          using sealer = await createSealer(ATTEMPT, hsm)
          const options = known ? { chunkSize, plaintextLength: length } : { chunkSize }
          const chunks: Buffer[] = []
          for await (const chunk of sealer.seal(source, options)) chunks.push(chunk)
          expect(Buffer.concat(chunks).equals(bytes)).toBe(true)
          expect(chunks.slice(0, -1).every((chunk) => chunk.length === chunkSize)).toBe(true)
          expect(chunks.at(-1)?.length).toBe(bytes.length % chunkSize || chunkSize)
        },
      ),
      { numRuns: 60 },
    )
  })

  it('round-trips anything, in any mode and with any context', async () => {
    const plaintext = fc.uint8Array({ maxLength: 3000 })
    const context = fc.uint8Array({ maxLength: 1024 })
    await fc.assert(
      fc.asyncProperty(plaintext, context, fc.constantFrom(...MODES), async (bytes, ctx, mode) => {
        const fixture = await sealed(0, { ...mode, context: ctx })
        using sealer = await createSealer(fixture.attempt, hsm)
        const object = await collect(sealer.seal([bytes], { chunkSize: 512 }))
        expect((await openAll(object, fixture.opening)).equals(bytes)).toBe(true)
      }),
      { numRuns: 60 },
    )
  })

  it('tells the record what the object ends with', async () => {
    const { bytes } = await sealed(S + 1)
    using sealer = await createSealer(ATTEMPT, hsm)
    expect(() => sealer.result()).toThrow('not sealed')
    await collect(sealer.seal([patternBytes(S + 1)], { chunkSize: 1000 }))
    expect(sealer.result()).toEqual({
      plaintextLength: S + 1,
      objectLength: bytes.length,
      segmentCount: 2,
      tagsDigest: bytes.subarray(-64, -32),
      fmac: bytes.subarray(-32),
      htag: bytes.subarray(0x120, 0x140),
    })
    expect(sealer.header).toEqual(bytes.subarray(0, 320))
  })
})

describe('buffers', () => {
  it('are never touched again once they were yielded, whatever the consumer does with them', async () => {
    for (const known of [false, true]) {
      const { bytes, plaintext } = await sealed(2 * S + 1)
      using sealer = await createSealer(ATTEMPT, hsm)
      const options = known ? { plaintextLength: plaintext.length } : {}
      const yielded: { chunk: Buffer; copy: Buffer }[] = []
      for await (const chunk of sealer.seal([plaintext], { chunkSize: 5000, ...options })) {
        yielded.push({ chunk, copy: Buffer.from(chunk) })
        chunk.fill(0xee)
      }
      expect(Buffer.concat(yielded.map(({ copy }) => copy)).equals(bytes)).toBe(true)
      expect(yielded.every(({ chunk }) => chunk.every((byte) => byte === 0xee))).toBe(true)
    }
  })

  it('may reuse those of the source', async () => {
    const { bytes, plaintext } = await sealed(2 * S + 1)
    const shared = Buffer.alloc(777)
    function* reusing() {
      for (let at = 0; at < plaintext.length; at += shared.length) {
        shared.fill(0)
        yield shared.subarray(0, plaintext.copy(shared, 0, at))
      }
    }
    using sealer = await createSealer(ATTEMPT, hsm)
    expect((await collect(sealer.seal(reusing(), { chunkSize: 9999 }))).equals(bytes)).toBe(true)
  })

  it('are as many and as long as the object needs when its length is known', async () => {
    const sizes: number[] = []
    using sealer = await createSealer(ATTEMPT, hsm)
    const allocate = (size: number) => {
      sizes.push(size)
      return Buffer.alloc(size)
    }
    await collect(sealer.seal([patternBytes(S)], { chunkSize: 50_000, plaintextLength: S, allocate }))
    expect(sizes).toEqual([50_000, objectLength(S, 16) - 50_000])
  })

  it('are held back for one segment at most', async () => {
    const chunkSize = 1000
    let allocated = 0
    let taken = 0
    let most = 0
    using sealer = await createSealer(ATTEMPT, hsm)
    const allocate = (size: number) => {
      allocated += size
      most = Math.max(most, allocated - taken)
      return Buffer.alloc(size)
    }
    for await (const chunk of sealer.seal([patternBytes(6 * S)], { chunkSize, allocate })) taken += chunk.length
    expect(most).toBeLessThanOrEqual(S + SLICE_LENGTH + 2 * chunkSize)
  })

  it('must have the size that was asked for', async () => {
    using sealer = await createSealer(ATTEMPT, hsm)
    const sealing = collect(sealer.seal([], { chunkSize: 100, allocate: (size) => Buffer.alloc(size + 1) }))
    await expect(sealing).rejects.toThrow(TypeError)
  })
})

describe('misuse', () => {
  it('an attempt is sealed once', async () => {
    using sealer = await createSealer(ATTEMPT, hsm)
    await collect(sealer.seal([], { chunkSize: 100 }))
    expect(() => sealer.seal([], { chunkSize: 100 })).toThrow('sealed once')
    using twice = await createSealer(ATTEMPT, hsm)
    twice.seal([], { chunkSize: 100 })
    expect(() => twice.seal([], { chunkSize: 100 })).toThrow('sealed once')
  })

  it('a wiped sealer seals nothing', async () => {
    const sealer = await createSealer(ATTEMPT, hsm)
    sealer.wipe()
    expect(() => sealer.seal([], { chunkSize: 100 })).toThrow('sealed once')
    const other = await createSealer(ATTEMPT, hsm)
    const sealing = other.seal([patternBytes(S)], { chunkSize: 100 })
    await sealing.next()
    other.wipe()
    await expect(sealing.next()).rejects.toThrow('wiped')
  })

  it.each([
    [S - 1, S],
    [S + 1, S],
    [1, 0],
    [0, 1],
  ])('a source of %i bytes that was said to have %i', async (length, plaintextLength) => {
    using sealer = await createSealer(ATTEMPT, hsm)
    const sealing = collect(sealer.seal([patternBytes(length)], { chunkSize: 1000, plaintextLength }))
    expect(await codeOf(sealing)).toBe('E_LENGTH')
    expect(() => sealer.result()).toThrow('not sealed')
  })

  it('a source that gives text', async () => {
    using sealer = await createSealer(ATTEMPT, hsm)
    const source = ['text'] as unknown as Uint8Array[]
    await expect(collect(sealer.seal(source, { chunkSize: 100 }))).rejects.toThrow('must give bytes')
  })

  it.each([0, -1, 1.5, NaN])('chunks of %d bytes', async (chunkSize) => {
    using sealer = await createSealer(ATTEMPT, hsm)
    await expect(collect(sealer.seal([], { chunkSize }))).rejects.toThrow(RangeError)
  })

  const zero = Buffer.alloc(32)
  const REFUSED: [string, Partial<SealOptions>][] = [
    ['an unknown suite', { suite: 3 as 1 }],
    ['a zero nonce', { nonceEnc: zero }],
    ['a zero signing nonce', { nonceSig: zero }],
    ['equal nonces', { nonceSig: ATTEMPT.nonceEnc }],
    ['a short nonce', { nonceEnc: Buffer.alloc(31, 1) }],
    ['key version 0', { encKeyVersion: 0 }],
    ['signing key version 0', { sigKeyVersion: 0 }],
    ['a key version beyond 32 bits', { encKeyVersion: 2 ** 32 }],
    ['a negative KEK version', { kekVersion: -1 }],
    ['a fractional attempt number', { attemptNo: 1.5 }],
    ['a context of 1,025 bytes', { context: Buffer.alloc(1025) }],
    ['segments of 32 KiB', { segLog2: 15 }],
    ['segments of 32 MiB', { segLog2: 25 }],
    ['an upper-case id', { fileId: FILE_ID.toUpperCase() }],
    ['an id that is none', { attemptId: 'x' }],
    ['the nil UUID as a domain', { keyDomain: '00000000-0000-0000-0000-000000000000' }],
    ['a negative time', { createdMs: -1 }],
  ]
  it.each(REFUSED)('%s is refused before the HSM is asked', async (_, overrides) => {
    const asked = new SoftwareHsm(MASTERS)
    await expect(createSealer({ ...ATTEMPT, ...overrides }, asked)).rejects.toThrow(/must|have|has|refused|say/)
    expect(asked.calls).toEqual([])
  })
})
