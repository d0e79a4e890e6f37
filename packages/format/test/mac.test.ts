import { createHmac } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { LABELS, type MacRole, label, mac, macMatches } from '../src/mac.js'
import { SegmentMac, segmentTagMatches } from '../src/segment.js'
import { hex } from './bytes.js'

/** RFC 4231 §4, HMAC-SHA-256. Case 5 is truncated to 128 bits there. */
const RFC_4231 = [
  ['0b'.repeat(20), Buffer.from('Hi There'), 'b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7'],
  [
    Buffer.from('Jefe').toString('hex'),
    Buffer.from('what do ya want for nothing?'),
    '5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843',
  ],
  ['aa'.repeat(20), Buffer.alloc(50, 0xdd), '773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe'],
  [
    '0102030405060708090a0b0c0d0e0f10111213141516171819',
    Buffer.alloc(50, 0xcd),
    '82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b',
  ],
  ['0c'.repeat(20), Buffer.from('Test With Truncation'), 'a3b6167473100ee06e0c796c2955552b'],
  [
    'aa'.repeat(131),
    Buffer.from('Test Using Larger Than Block-Size Key - Hash Key First'),
    '60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54',
  ],
  [
    'aa'.repeat(131),
    Buffer.from(
      'This is a test using a larger than block-size key and a larger than block-size data. ' +
        'The key needs to be hashed before being used by the HMAC algorithm.',
    ),
    '9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2',
  ],
] as const

describe('RFC 4231', () => {
  it.each(RFC_4231)('key %s', (key, message, tag) => {
    expect(createHmac('sha256', hex(key)).update(message).digest('hex')).toMatch(new RegExp(`^${tag}`))
  })
})

describe('labelled HMACs', () => {
  const key = Buffer.alloc(32, 9)
  const roles = Object.keys(LABELS) as MacRole[]

  it.each([
    ['context', 'SFV1/context'],
    ['header', 'SFV1/header'],
    ['keyCommit', 'SFV1/key-commit'],
    ['segment', 'SFV1/segment'],
    ['final', 'SFV1/final'],
  ] as const)('%s starts with its label in 16 bytes', (role, text) => {
    const padded = Buffer.concat([Buffer.from(text), Buffer.alloc(16 - text.length)])
    expect(LABELS[role]).toEqual(padded)
    const parts = [Buffer.from('one'), Buffer.from('two')]
    const whole = Buffer.concat([padded, ...parts])
    expect(mac(key, role, ...parts)).toEqual(createHmac('sha256', key).update(whole).digest())
  })

  it('never collide between two roles', () => {
    expect(new Set(roles.map((role) => mac(key, role).toString('hex'))).size).toBe(roles.length)
  })

  it('match whole tags alone', () => {
    const tag = mac(key, 'header', Buffer.from('x'))
    expect(macMatches(tag, key, 'header', Buffer.from('x'))).toBe(true)
    expect(macMatches(tag, key, 'final', Buffer.from('x'))).toBe(false)
    expect(macMatches(tag.subarray(0, 31), key, 'header', Buffer.from('x'))).toBe(false)
    expect(macMatches(Buffer.concat([tag, tag]), key, 'header', Buffer.from('x'))).toBe(false)
  })

  it('refuses labels that do not fit', () => {
    for (const text of ['', 'seventeen letters', 'naïve']) expect(() => label(text)).toThrow(RangeError)
  })
})

describe('segment tags', () => {
  const key = Buffer.alloc(32, 9)
  const htag = Buffer.alloc(32, 1)
  const ciphertext = Buffer.from('ciphertext')
  const segment = { index: 2 ** 33 + 1, final: true, ciphertext }

  it('cover label, HTAG, index, length, finality and ciphertext in the documented order', () => {
    const prefix = hex(`${LABELS.segment.toString('hex')}${'01'.repeat(32)}00000002000000010000000a01000000`)
    const right = createHmac('sha256', key).update(prefix).update(ciphertext).digest()
    expect(segmentTagMatches(right, key, htag, segment)).toBe(true)
    expect(segmentTagMatches(right, key, htag, { ...segment, index: 1 })).toBe(false)
    expect(segmentTagMatches(right, key, htag, { ...segment, final: false })).toBe(false)
    expect(segmentTagMatches(right, key, Buffer.alloc(32, 2), segment)).toBe(false)
    expect(segmentTagMatches(right, Buffer.alloc(32, 8), htag, segment)).toBe(false)
    expect(segmentTagMatches(right, key, htag, { ...segment, ciphertext: Buffer.from('ciphertexT') })).toBe(false)
  })

  it('are given once', () => {
    const tag = new SegmentMac(key, htag, 0, 0, true)
    tag.digest()
    expect(() => tag.update(ciphertext)).toThrow('has its tag')
    expect(() => tag.digest()).toThrow('has its tag')
    tag.finish()
  })
})
