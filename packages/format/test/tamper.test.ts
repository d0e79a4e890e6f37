/**
 * Every bit of a small object flipped, in both suites and both nonce modes: each is refused, with the code that the
 * field it lies in says. Then cuts, additions, swaps.
 */
import { describe, expect, it } from 'vitest'
import type { OpenOptions } from '../src/admission.js'
import { bufferReader } from '../src/reader.js'
import { verifyObject } from '../src/verify.js'
import { type Fixture, OTHER_ID, S, codeOf, flipBit, openAll, sealed } from './fixtures.js'

const LENGTH = 17
const MODES = [
  { suite: 1, kekVersion: 0 },
  { suite: 1, kekVersion: 2 },
  { suite: 2, kekVersion: 0 },
  { suite: 2, kekVersion: 2 },
] as const

interface Field {
  readonly name: string
  readonly size: number
  /** The code for an inline object, and for a detached one where that differs. */
  readonly code: string
  readonly detached?: string
  /** Single bits that say something else. */
  readonly bits?: Readonly<Record<number, string>>
}

/** Bits count from 0x80 of a field's first byte = bit 0, as one reads a table. */
const HEADER: readonly Field[] = [
  { name: 'magic', size: 8, code: 'E_FORMAT' },
  { name: 'format_version', size: 2, code: 'E_UNSUPPORTED' },
  { name: 'suite_id', size: 2, code: 'E_UNSUPPORTED' },
  { name: 'header_len', size: 4, code: 'E_FORMAT' },
  { name: 'file_id', size: 16, code: 'E_WRONG_FILE' },
  { name: 'attempt_id', size: 16, code: 'E_HEADER_AUTH', detached: 'E_NONCE_UNWRAP' },
  { name: 'enc_key_ver', size: 4, code: 'E_KEY_UNKNOWN' },
  { name: 'sig_key_ver', size: 4, code: 'E_KEY_UNKNOWN' },
  // The detached objects here say 2: without bit 30 that is 0, which contradicts the flags.
  { name: 'kek_ver', size: 4, code: 'E_FORMAT', detached: 'E_HEADER_AUTH', bits: { 30: 'E_FORMAT' } },
  // 16 with one bit flipped: 17, 18, 20 and 24 are segment sizes, under which this object has the same length.
  {
    name: 'seg_log2',
    size: 1,
    code: 'E_FORMAT',
    bits: { 4: 'E_HEADER_AUTH', 5: 'E_HEADER_AUTH', 6: 'E_HEADER_AUTH', 7: 'E_HEADER_AUTH' },
  },
  { name: 'flags', size: 1, code: 'E_FORMAT' },
  { name: 'reserved', size: 2, code: 'E_FORMAT' },
  { name: 'nonce_enc', size: 32, code: 'E_HEADER_AUTH', detached: 'E_FORMAT' },
  { name: 'nonce_sig', size: 32, code: 'E_HEADER_AUTH', detached: 'E_FORMAT' },
  { name: 'context_tag', size: 32, code: 'E_HEADER_AUTH' },
  { name: 'created_ms', size: 8, code: 'E_HEADER_AUTH' },
  { name: 'key_domain', size: 16, code: 'E_KEY_UNKNOWN' },
  { name: 'attempt_no', size: 4, code: 'E_HEADER_AUTH' },
  { name: 'reserved', size: 68, code: 'E_FORMAT' },
  { name: 'KC', size: 32, code: 'E_HEADER_AUTH' },
  { name: 'HTAG', size: 32, code: 'E_HEADER_AUTH' },
]
const REST = (length: number): readonly Field[] => [
  { name: 'C_0', size: length, code: 'E_SEGMENT_AUTH' },
  { name: 'tag_0', size: 32, code: 'E_SEGMENT_AUTH' },
  { name: 'trailer', size: 96, code: 'E_TRAILER_AUTH' },
]

/** Key versions 7 and 3 of the default domain exist, and no others. */
const keyState: OpenOptions['keyState'] = ({ role, version, domain }) => {
  const known = { enc: 7, sig: 3, kek: 2, audit: 0 }
  return Promise.resolve(domain === 'default' && known[role] === version ? 'usable' : 'unknown')
}

function* expectations(
  fields: readonly Field[],
  detached: boolean,
): Generator<{ bit: number; name: string; code: string }> {
  let start = 0
  for (const field of fields) {
    for (let i = 0; i < 8 * field.size; i++) {
      const usual = detached ? (field.detached ?? field.code) : field.code
      // Bit i as one reads it is bit 7 - i % 8 of its byte.
      const bit = 8 * (start + (i >> 3)) + 7 - (i & 7)
      yield { bit, name: `${field.name} bit ${i}`, code: field.bits?.[i] ?? usual }
    }
    start += field.size
  }
}

describe.each(MODES)('every single-bit flip, suite $suite, KEK $kekVersion', (mode) => {
  const detached = mode.kekVersion !== 0

  it.each([0, LENGTH])('of an object of %i bytes is refused on opening', async (length) => {
    const fixture = await sealed(length, mode)
    const opening = { ...fixture.opening, keyState }
    expect(await codeOf(openAll(fixture.bytes, opening))).toBe('none')
    let bits = 0
    for (const { bit, name, code } of expectations([...HEADER, ...REST(length)], detached)) {
      expect(await codeOf(openAll(flipBit(fixture.bytes, bit), opening)), name).toBe(code)
      bits += 1
    }
    expect(bits).toBe(8 * fixture.bytes.length)
  })

  it('is refused on verifying, with the signing master alone', async () => {
    const fixture = await sealed(LENGTH, mode)
    const asked = fixture.hsm.calls.length
    const opening = { ...fixture.opening, keyState }
    for (const { bit, name, code } of expectations([...HEADER, ...REST(LENGTH)], detached)) {
      // The auditor never asks for the encryption master: its version is just a field of the header.
      const audited = detached ? 'E_NONCE_UNWRAP' : 'E_HEADER_AUTH'
      const right = name.startsWith('enc_key_ver') ? audited : code
      const verifying = verifyObject(bufferReader(flipBit(fixture.bytes, bit)), opening)
      expect(await codeOf(verifying), name).toBe(right)
    }
    expect(fixture.hsm.calls.slice(asked).every(({ key }) => key.role === 'sig')).toBe(true)
  })
})

/** The wire of segment i: ciphertext and tag. */
function segmentOf(fixture: Fixture, i: number): Buffer {
  const start = 320 + i * (S + 32)
  return fixture.bytes.subarray(start, Math.min(start + S + 32, fixture.bytes.length - 96))
}

function assemble(fixture: Fixture, segments: readonly Buffer[], trailer = fixture.bytes.subarray(-96)): Buffer {
  return Buffer.concat([fixture.bytes.subarray(0, 320), ...segments, trailer])
}

async function refusal(bytes: Buffer, fixture: Fixture): Promise<string> {
  const opening = await codeOf(openAll(bytes, fixture.opening))
  expect(await codeOf(verifyObject(bufferReader(bytes), fixture.opening))).toBe(opening)
  return opening
}

describe('cuts and additions', () => {
  it('every truncation of a small object', async () => {
    const fixture = await sealed(LENGTH)
    for (let length = 0; length < fixture.bytes.length; length++) {
      const code = length < 320 ? 'E_FORMAT' : length < 448 ? 'E_LENGTH' : 'E_TRAILER_AUTH'
      expect(await refusal(fixture.bytes.subarray(0, length), fixture), `${length} bytes`).toBe(code)
    }
  })

  it('every loss of bytes at the front', async () => {
    const fixture = await sealed(LENGTH)
    for (let lost = 1; lost < 200; lost++) {
      expect(await refusal(fixture.bytes.subarray(lost), fixture), `${lost} bytes`).toBe('E_FORMAT')
    }
  })

  it.each([1, 16, 31, 32, 96, 1000])('%i more bytes after the trailer, or before it', async (more) => {
    const fixture = await sealed(LENGTH)
    expect(await refusal(Buffer.concat([fixture.bytes, Buffer.alloc(more)]), fixture)).toBe('E_TRAILER_AUTH')
    const inside = assemble(fixture, [segmentOf(fixture, 0), Buffer.alloc(more)])
    expect(await refusal(inside, fixture)).toBe('E_LENGTH')
  })

  it('a segment left out, doubled, or the last one cut', async () => {
    const fixture = await sealed(2 * S + 5)
    const [a, b, c] = [segmentOf(fixture, 0), segmentOf(fixture, 1), segmentOf(fixture, 2)] as const
    expect(await refusal(assemble(fixture, [a, c]), fixture)).toBe('E_LENGTH')
    expect(await refusal(assemble(fixture, [a, b]), fixture)).toBe('E_LENGTH')
    expect(await refusal(assemble(fixture, [a, b, b, c]), fixture)).toBe('E_LENGTH')
    expect(await refusal(assemble(fixture, [a, b, c.subarray(1)]), fixture)).toBe('E_LENGTH')
  })
})

describe('swaps', () => {
  it('of two segments, or of their tags', async () => {
    const fixture = await sealed(3 * S)
    const [a, b, c] = [segmentOf(fixture, 0), segmentOf(fixture, 1), segmentOf(fixture, 2)] as const
    expect(await refusal(assemble(fixture, [b, a, c]), fixture)).toBe('E_SEGMENT_AUTH')
    expect(await refusal(assemble(fixture, [a, c, b]), fixture)).toBe('E_SEGMENT_AUTH')
    const tagsSwapped = [a.subarray(0, S), b.subarray(S), b.subarray(0, S), a.subarray(S), c]
    expect(await refusal(assemble(fixture, tagsSwapped), fixture)).toBe('E_SEGMENT_AUTH')
  })

  it('with parts of another attempt at the same file', async () => {
    const one = await sealed(2 * S)
    const other = await sealed(2 * S, { attemptId: OTHER_ID, nonceEnc: Buffer.alloc(32, 1) })
    expect(await refusal(assemble(one, [segmentOf(one, 0), segmentOf(other, 1)]), one)).toBe('E_SEGMENT_AUTH')
    const trailer = other.bytes.subarray(-96)
    expect(await refusal(assemble(one, [segmentOf(one, 0), segmentOf(one, 1)], trailer), one)).toBe('E_TRAILER_AUTH')
  })

  it('with parts of another attempt under the very same K_sig: HTAG tells them apart', async () => {
    const one = await sealed(2 * S)
    const other = await sealed(2 * S, { attemptNo: 6 })
    expect(await refusal(assemble(one, [segmentOf(one, 0), segmentOf(other, 1)]), one)).toBe('E_SEGMENT_AUTH')
  })
})
