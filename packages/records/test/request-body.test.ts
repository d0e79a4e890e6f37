import { generateKeyPairSync, sign } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { assertPublicKey, rawPublicKey } from '../src/operators/public-key.js'
import {
  bodyOfSignedBytes,
  parseRequestBody,
  requestBody,
  signedBytes,
  type RequestBody,
} from '../src/operators/request-body.js'
import { canonicalJson, parseCanonicalJson } from '../src/operators/canonical-json.js'
import { signatureFits } from '../src/operators/signature.js'

const BODY: RequestBody = {
  version: 1,
  id: '0f0e0d0c-0b0a-4908-8706-050403020100',
  kind: 'file.shred',
  subject: { kind: 'file', id: '00112233-4455-4677-8899-aabbccddeeff' },
  detail: { reason: 'Löschung nach Art. 17', attempts: 3 },
  required: 2,
  createdAt: new Date('2026-11-28T16:00:00.000Z'),
  expiresAt: new Date('2026-11-29T16:00:00.000Z'),
}
const TEXT =
  '{"createdAt":"2026-11-28T16:00:00.000Z","detail":{"attempts":3,"reason":"Löschung nach Art. 17"},' +
  '"expiresAt":"2026-11-29T16:00:00.000Z","id":"0f0e0d0c-0b0a-4908-8706-050403020100","kind":"file.shred","required":2,' +
  '"subject":{"id":"00112233-4455-4677-8899-aabbccddeeff","kind":"file"},"v":1}'

describe('canonical JSON', () => {
  test('sorts names, has no spaces, escapes what must be', () => {
    expect(canonicalJson({ b: [1, true, null], a: { ä: '\u0001"\\€', Z: -5 } })).toBe(
      '{"a":{"Z":-5,"ä":"\\u0001\\"\\\\€"},"b":[1,true,null]}',
    )
  })

  test.each([0.5, -0, NaN, Infinity, 2 ** 53, undefined, 1n, () => 1, new Date(0), Symbol('x'), '\ud800', new Map()])(
    'refuses %s, which has no one form',
    (value) => {
      expect(() => canonicalJson(value)).toThrow(expect.objectContaining({ code: 'INVALID' }))
      expect(() => canonicalJson({ inside: [value] })).toThrow(expect.objectContaining({ code: 'INVALID' }))
    },
  )

  test('refuses what is nested without end', () => {
    const circle: Record<string, unknown> = {}
    circle['self'] = circle
    expect(() => canonicalJson(circle)).toThrow(expect.objectContaining({ code: 'INVALID' }))
  })

  test('is read back only as it was written', () => {
    for (const other of [
      '{"a":1,"a":2}',
      '{"b":1,"a":2}',
      '{"a": 1}',
      '{"a":1}\n',
      '{"a":1.0}',
      '{"a":"\\u0041"}',
      '',
      '1e1',
    ])
      expect(parseCanonicalJson(Buffer.from(other)), other).toBeUndefined()
    expect(parseCanonicalJson(Buffer.from([0x22, 0xff, 0x22]))).toBeUndefined()
    expect(parseCanonicalJson(Buffer.from('\ufeff{"a":1}'))).toBeUndefined()
  })

  test('has one form for a value, whatever the order it was built in', () => {
    const value = fc.letrec((tie) => ({
      value: fc.oneof(
        { depthSize: 'small' },
        fc.string({ unit: 'grapheme' }),
        fc.maxSafeInteger(),
        fc.boolean(),
        fc.constant(null),
        fc.array(tie('value'), { maxLength: 4 }),
        fc.dictionary(fc.string(), tie('value'), { maxKeys: 4 }),
      ),
    })).value
    fc.assert(
      fc.property(fc.dictionary(fc.string(), value, { maxKeys: 5 }), (object) => {
        const shuffled = Object.fromEntries(Object.entries(object).reverse())
        let text: string
        try {
          text = canonicalJson(object)
        } catch {
          return
        }
        expect(canonicalJson(shuffled)).toBe(text)
        expect(canonicalJson(parseCanonicalJson(Buffer.from(text)))).toBe(text)
      }),
    )
  })
})

describe('the body', () => {
  test('is these bytes, and signed behind this label', () => {
    expect(requestBody(BODY).toString()).toBe(TEXT)
    expect(signedBytes(requestBody(BODY)).toString('latin1', 0, 17)).toBe('SFV1/op-request\0{')
    expect(bodyOfSignedBytes(signedBytes(requestBody(BODY))).toString()).toBe(TEXT)
    expect(() => bodyOfSignedBytes(requestBody(BODY))).toThrow(expect.objectContaining({ code: 'REQUEST_MISMATCH' }))
  })

  test('comes back as it went in, of either version', () => {
    expect(parseRequestBody(Buffer.from(TEXT))).toEqual(BODY)
    const second = Buffer.from(TEXT.replace('"v":1', '"v":2'))
    expect(parseRequestBody(second)).toEqual({ ...BODY, version: 2 })
    expect(requestBody({ ...BODY, version: 2 })).toEqual(second)
  })

  test.each([
    ['another version', TEXT.replace('"v":1', '"v":3')],
    ['a part too many', TEXT.replace('"v":1', '"v":1,"w":0')],
    ['a part too few', TEXT.replace('"required":2,', '')],
    ['a kind that there is not', TEXT.replace('file.shred', 'file.burn')],
    ['a kind from a prototype', TEXT.replace('file.shred', 'toString')],
    ['a time of another form', TEXT.replace('2026-11-28T16:00:00.000Z', '2026-11-28T16:00:00Z')],
    ['a subject with more', TEXT.replace('"kind":"file"}', '"kind":"file","x":1}')],
    ['a list', '[]'],
    ['nothing', ''],
  ])('with %s is none', (_what, text) => {
    expect(() => parseRequestBody(Buffer.from(text))).toThrow(expect.objectContaining({ code: 'REQUEST_MISMATCH' }))
  })
})

describe('signatures', () => {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  const raw = rawPublicKey(publicKey)
  const body = requestBody(BODY)
  const signature = sign(null, signedBytes(body), privateKey)

  test('fit the body, the key and the label together', () => {
    expect(signatureFits({ publicKey: raw, body, signature })).toBe(true)
    expect(signatureFits({ publicKey: raw, body, signature: sign(null, body, privateKey) })).toBe(false)
    expect(signatureFits({ publicKey: raw, body: Buffer.concat([body, Buffer.of(0)]), signature })).toBe(false)
    const other = rawPublicKey(generateKeyPairSync('ed25519').publicKey)
    expect(signatureFits({ publicKey: other, body, signature })).toBe(false)
  })

  test('fit no more with any bit changed, or another length', () => {
    for (let bit = 0; bit < 512; bit += 1) {
      const flipped = Buffer.from(signature)
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      expect(signatureFits({ publicKey: raw, body, signature: flipped }), `bit ${bit}`).toBe(false)
    }
    for (const length of [0, 63, 65]) {
      expect(signatureFits({ publicKey: raw, body, signature: Buffer.alloc(length) })).toBe(false)
    }
  })

  test('are those of RFC 8032: its test vector’s key is taken', () => {
    expect(() =>
      assertPublicKey(Buffer.from('d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a', 'hex')),
    ).not.toThrow()
  })

  // https://github.com/jedisct1/libsodium, ge25519_has_small_order; the last ones are not written in their shortest form.
  test.each([
    '0000000000000000000000000000000000000000000000000000000000000000',
    '0100000000000000000000000000000000000000000000000000000000000000',
    '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
    '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85',
    'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
    'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa',
    'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
    'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
    'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
    'f0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff',
  ])('are never made by a key under which anybody could sign: %s', (hex) => {
    expect(() => assertPublicKey(Buffer.from(hex, 'hex'))).toThrow(expect.objectContaining({ code: 'INVALID' }))
  })

  test('are never made by what is no point of the curve, or of another length', () => {
    const off = Buffer.alloc(32)
    off[0] = 2
    for (const key of [off, Buffer.alloc(31, 9), Buffer.alloc(33, 9)])
      expect(() => assertPublicKey(key)).toThrow(expect.objectContaining({ code: 'INVALID' }))
    for (let i = 0; i < 50; i += 1) assertPublicKey(rawPublicKey(generateKeyPairSync('ed25519').publicKey))
    expect(() => rawPublicKey(generateKeyPairSync('x25519').publicKey)).toThrow(
      expect.objectContaining({ code: 'INVALID' }),
    )
  })
})
