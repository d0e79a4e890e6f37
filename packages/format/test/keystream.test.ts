import { execFileSync } from 'node:child_process'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Keystream, addToCounter } from '../src/keystream.js'
import { aesKeyOf, deriveDataKey, initialCounterOf } from '../src/derivation.js'
import { geometryOfPlaintext, segmentLength, segmentOffset } from '../src/sizes.js'
import { hex } from './bytes.js'
import { BOUNDARIES, type Fixture, S, openAll, sealed } from './fixtures.js'

/** NIST SP 800-38A (2001), appendix F.5: four blocks of plaintext, the same initial counter block. */
const NIST_COUNTER = hex('f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff')
const NIST_PLAINTEXT = hex(
  '6bc1bee22e409f96e93d7e117393172a' +
    'ae2d8a571e03ac9c9eb76fac45af8e51' +
    '30c81c46a35ce411e5fbc1191a0a52ef' +
    'f69f2445df4f9b17ad2b417be66c3710',
)
const NIST = [
  {
    name: 'F.5.1 CTR-AES128',
    suite: 1,
    key: hex('2b7e151628aed2a6abf7158809cf4f3c'),
    ciphertext: hex(
      '874d6191b620e3261bef6864990db6ce' +
        '9806f66b7970fdff8617187bb9fffdff' +
        '5ae4df3edbd5d35e5b4f09020db03eab' +
        '1e031dda2fbe03d1792170a0f3009cee',
    ),
  },
  {
    name: 'F.5.5 CTR-AES256',
    suite: 2,
    key: hex('603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4'),
    ciphertext: hex(
      '601ec313775789a5b7a7f504bbf3d228' +
        'f443e3ca4d62b59aca84e990cacaf5c5' +
        '2b0930daa23de94ce87017ba2d84988d' +
        'dfc9c58db67aada613c2dd08457941a6',
    ),
  },
] as const

describe.each(NIST)('$name', ({ suite, key, ciphertext }) => {
  const dataKey = suite === 1 ? Buffer.concat([NIST_COUNTER, key]) : Buffer.concat([key, NIST_COUNTER])

  it('encrypts and decrypts', () => {
    for (const [input, output] of [
      [NIST_PLAINTEXT, ciphertext],
      [ciphertext, NIST_PLAINTEXT],
    ] as const) {
      const keystream = new Keystream(suite, dataKey)
      expect(keystream.apply(input)).toEqual(output)
      keystream.finish()
    }
  })

  it('starts at any byte', () => {
    for (let position = 0; position <= 64; position++) {
      const keystream = new Keystream(suite, dataKey, position)
      expect(keystream.apply(NIST_PLAINTEXT.subarray(position))).toEqual(ciphertext.subarray(position))
      keystream.finish()
    }
  })

  it('refuses to go on once finished', () => {
    const keystream = new Keystream(suite, dataKey)
    keystream.finish()
    keystream.finish()
    expect(() => keystream.apply(NIST_PLAINTEXT)).toThrow('finished')
  })
})

describe('the counter', () => {
  it('is added to mod 2^128', () => {
    const value = (bytes: Buffer) => BigInt(`0x${bytes.toString('hex')}`)
    const block = fc.oneof(fc.uint8Array({ minLength: 16, maxLength: 16 }), fc.constant(new Uint8Array(16).fill(255)))
    fc.assert(
      fc.property(block, fc.maxSafeNat(), (start, count) => {
        const sum = addToCounter(start, count)
        expect(value(sum)).toBe((value(Buffer.from(start)) + BigInt(count)) % 2n ** 128n)
      }),
    )
  })

  it.each(['ff'.repeat(16), 'ff'.repeat(15) + 'fe', '00'.repeat(12) + 'ffffffff', '00'.repeat(8) + 'ff'.repeat(8)])(
    'wraps over all 128 bits where the cipher does: %s',
    (iv) => {
      const dataKey = Buffer.concat([hex(iv), Buffer.alloc(16, 7)])
      const whole = new Keystream(1, dataKey)
      const zeros = Buffer.alloc(64)
      const stream = whole.apply(zeros)
      whole.finish()
      for (let block = 0; block < 4; block++) {
        const from = new Keystream(1, dataKey, 16 * block)
        expect(from.apply(zeros.subarray(16 * block))).toEqual(stream.subarray(16 * block))
        from.finish()
      }
    },
  )
})

/** What `openssl enc` makes of the plaintext with the same key and counter: a program that knows nothing of us. */
async function opensslEncryption(fixture: Fixture): Promise<Buffer> {
  const { suite } = fixture.attempt
  const dataKey = await deriveDataKey(fixture.hsm, fixture.attempt)
  const key = aesKeyOf(suite, dataKey).toString('hex')
  const iv = initialCounterOf(suite, dataKey).toString('hex')
  const cipher = suite === 1 ? '-aes-128-ctr' : '-aes-256-ctr'
  return execFileSync('openssl', ['enc', cipher, '-K', key, '-iv', iv], {
    input: fixture.plaintext,
    maxBuffer: 64 * 2 ** 20,
  })
}

function ciphertextOf(fixture: Fixture): Buffer {
  const geometry = geometryOfPlaintext(fixture.plaintext.length, fixture.attempt.segLog2)
  return Buffer.concat(
    Array.from({ length: geometry.segmentCount }, (_, i) => {
      const start = segmentOffset(geometry, i)
      return fixture.bytes.subarray(start, start + segmentLength(geometry, i))
    }),
  )
}

describe('faithfulness: the segments joined are one plain AES-CTR encryption of the file', () => {
  it.each(BOUNDARIES.flatMap((length) => ([1, 2] as const).map((suite) => [length, suite] as const)))(
    '%i bytes, suite %i',
    async (length, suite) => {
      const fixture = await sealed(length, { suite })
      expect(ciphertextOf(fixture).equals(await opensslEncryption(fixture))).toBe(true)
    },
  )

  it.each(['ff'.repeat(16), 'ff'.repeat(14) + 'f000', '00'.repeat(12) + 'fffffff0', 'ab'.repeat(8) + 'ff'.repeat(8)])(
    'also when the counter wraps: IV %s',
    async (iv) => {
      const mockEncOutput = Buffer.concat([hex(iv), Buffer.alloc(16, 0x42)])
      const fixture = await sealed(3 * S + 5, {}, { mockEncOutput })
      expect(ciphertextOf(fixture).equals(await opensslEncryption(fixture))).toBe(true)
      expect((await openAll(fixture.bytes, fixture.opening)).equals(fixture.plaintext)).toBe(true)
    },
  )
})
