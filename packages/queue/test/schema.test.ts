import { readFileSync } from 'node:fs'
import { Ajv2020 } from 'ajv/dist/2020.js'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { CodedError } from '@sealfleet/failures'
import { PAYLOAD_LIMIT, parseIngestJob } from '../src/ingest/parse.js'
import { ingestJobV1Schema } from '../src/ingest/schema.js'
import { BAD, GOOD, VALID } from './ingest-payloads.js'

const published = JSON.parse(readFileSync(new URL('../schema/ingest-job.v1.json', import.meta.url), 'utf8')) as object
const ajv = new Ajv2020({ strict: true, allErrors: false })
ajv.addKeyword({ keyword: 'x-maxUtf8Bytes', type: 'string', schemaType: 'number' })
const validate = ajv.compile(published)

/** What a foreign validator sees: the payload after its way through Redis. */
function overTheWire(payload: unknown): unknown {
  return JSON.parse(JSON.stringify(payload)) as unknown
}

test.each(GOOD)('both schemas take %s', (_, payload) => {
  expect(ingestJobV1Schema.safeParse(overTheWire(payload)).success).toBe(true)
  expect(validate(overTheWire(payload))).toBe(true)
  expect(parseIngestJob(overTheWire(payload))).toEqual(payload)
})

test.each(BAD)('both schemas refuse %s', (_, payload) => {
  expect(ingestJobV1Schema.safeParse(overTheWire(payload)).success).toBe(false)
  expect(validate(overTheWire(payload))).toBe(false)
  expect(() => parseIngestJob(overTheWire(payload))).toThrow(expect.objectContaining({ code: 'PAYLOAD_INVALID' }))
})

test('both schemas agree on whatever else comes', () => {
  const text = fc.oneof(
    fc.string({ unit: fc.constantFrom('a', '.', '/', '-', '0', 'A', 'é', '\0', '\n'), maxLength: 8 }),
    fc.constantFrom(VALID.fileId, 'default', 'inbox'),
  )
  const value = fc.oneof(text, fc.integer({ min: -1, max: 3 }), fc.constant(null), fc.constant(undefined))
  const payload = fc.record({
    v: fc.oneof({ weight: 9, arbitrary: fc.constant(1) }, value),
    fileId: fc.oneof({ weight: 9, arbitrary: fc.constant(VALID.fileId) }, value),
    domain: fc.oneof({ weight: 9, arbitrary: fc.constant('default') }, value),
    source: fc.oneof(
      { weight: 9, arbitrary: fc.record({ root: fc.oneof(fc.constant('inbox'), text), path: text }) },
      value,
    ),
    context: fc.oneof(fc.constant(undefined), text),
    generation: fc.oneof({ weight: 9, arbitrary: fc.constant(1) }, value),
  })
  fc.assert(
    fc.property(payload, (candidate) => {
      const wire = overTheWire(candidate)
      expect(ingestJobV1Schema.safeParse(wire).success).toBe(validate(wire))
    }),
    { numRuns: 2_000 },
  )
})

test('the one known difference: JSON Schema counts characters of a path, the workers count bytes', () => {
  const payload = { ...VALID, source: { root: 'inbox', path: 'é'.repeat(2049) } }
  expect(validate(payload)).toBe(true)
  expect(() => parseIngestJob(payload)).toThrow(/source\.path is longer than 4096 bytes/)
})

test('the largest valid payload is well below the limit of size', () => {
  const payload = {
    ...VALID,
    source: { root: 'r'.repeat(64), path: '\u0001'.repeat(4096) },
    context: Buffer.alloc(1024).toString('base64url'),
    generation: 2 ** 31 - 1,
  }
  expect(parseIngestJob(payload)).toEqual(payload)
  expect(Buffer.byteLength(JSON.stringify(payload))).toBeLessThan(PAYLOAD_LIMIT)
})

test.each([
  ['an oversized payload', { ...VALID, junk: 'x'.repeat(PAYLOAD_LIMIT) }, /more than 32768 bytes/],
  ['an unknown version', { ...VALID, v: 2 }, /version 2 is unknown/],
  ['a missing field', { ...VALID, domain: undefined }, /domain/],
  ['a wrong field', { ...VALID, generation: 0 }, /generation is below 1/],
  ['several at once', { ...VALID, fileId: 'x', generation: 0 }, /fileId .*; generation /],
  ['an unknown field', { ...VALID, extra: 1 }, /unknown "extra"/],
])('the message for %s says what is wrong', (_, payload, message) => {
  expect(() => parseIngestJob(payload)).toThrow(message)
})

test('messages never repeat values, and stay short whatever comes', () => {
  const hostile = {
    ...VALID,
    fileId: 'S3CRET',
    source: { root: 'S3CRET', path: '../S3CRET' },
    ['\u001b[31m'.repeat(99)]: 'S3CRET',
  }
  try {
    parseIngestJob(hostile)
    expect.unreachable()
  } catch (error) {
    expect(error).toBeInstanceOf(CodedError)
    const { message } = error as CodedError
    expect(message).not.toContain('S3CRET')
    expect(message).not.toContain('\u001b')
    expect(message.length).toBeLessThan(500)
  }
})
