import fc from 'fast-check'
import { expect, test } from 'vitest'
import { objectMetadata, readObjectMetadata, readObjectSource } from '../src/metadata.js'

const fileId = '0b4f3a52-8f2e-4c9e-9d67-0f4d8a7c1e11'
const attemptId = 'f1d2c3b4-0000-4000-8000-00000000ffff'

test('what is written is read again, whatever the context’s bytes', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 1024 }), (context) => {
      const metadata = objectMetadata({ fileId, attemptId, context })
      expect(Object.values(metadata).join('')).toMatch(/^[\x21-\x7e]*$/)
      expect(readObjectMetadata(metadata)).toEqual({ fileId, attemptId, context: Buffer.from(context) })
    }),
  )
})

test('all of it fits into the 2 KiB that S3 allows', () => {
  const metadata = objectMetadata({ fileId, attemptId, context: Buffer.alloc(1024, 255) })
  const bytes = Object.entries(metadata).reduce((sum, [name, value]) => sum + name.length + value.length, 0)
  expect(bytes).toBeLessThanOrEqual(2048)
})

test.each([
  ['a context that is too long', { fileId, attemptId, context: Buffer.alloc(1025) }],
  ['a file id in capitals', { fileId: fileId.toUpperCase(), attemptId, context: Buffer.alloc(0) }],
  ['an attempt id with a header in it', { fileId, attemptId: `${attemptId}\r\nx: y`, context: Buffer.alloc(0) }],
])('%s is refused', (_name, identity) => {
  expect(() => objectMetadata(identity)).toThrow(RangeError)
})

test('what others wrote is not taken for ours', () => {
  expect(readObjectMetadata({})).toEqual({ fileId: undefined, attemptId: undefined, context: Buffer.alloc(0) })
  for (const context of ['not/base64url', 'QQ==', 'QR', 'A'.repeat(4000)]) {
    const read = readObjectMetadata({ 'sealfleet-file': 'x', 'sealfleet-attempt': 'y', 'sealfleet-context': context })
    expect(read).toEqual({ fileId: undefined, attemptId: undefined, context: undefined })
  }
})

const segment = fc
  .string({ unit: 'grapheme', minLength: 1, maxLength: 12 })
  .filter((text) => !/[/\0]/.test(text) && text !== '.' && text !== '..' && !/\p{Surrogate}/u.test(text))

test('a source is read as it was written, in ASCII, or left out of metadata that would be too long', () => {
  const source = fc.record({ root: fc.constantFrom('inbox', 'a-1'), path: fc.array(segment, { minLength: 1 }) })
  fc.assert(
    fc.property(source, fc.uint8Array({ maxLength: 1024 }), ({ root, path: parts }, context) => {
      const path = parts.join('/')
      const metadata = objectMetadata({ fileId, attemptId, context, source: { root, path } })
      const bytes = Object.entries(metadata).reduce((sum, [name, value]) => sum + name.length + value.length, 0)
      expect(bytes).toBeLessThanOrEqual(2048)
      expect(Object.values(metadata).join('')).toMatch(/^[\x21-\x7e]*$/)
      const fits = 'sealfleet-source' in metadata
      expect(readObjectSource(metadata)).toEqual(fits ? { root, path } : undefined)
    }),
  )
  const long = objectMetadata({
    fileId,
    attemptId,
    context: Buffer.alloc(0),
    source: { root: 'in', path: 'x'.repeat(2000) },
  })
  expect(readObjectSource(long)).toBeUndefined()
})

test.each([
  ['', /form/],
  ['inbox', /form/],
  ['inbox:a%zz', /form/],
  ['inbox:a%2fb', /form/],
  ['inbox:a%2Fb', /form/],
  ['inbox:%61', /form/],
  ['inbox:%C3', /form/],
  ['In box:a', /root/],
  ['inbox:', /plain/],
  ['inbox:..', /plain/],
  ['inbox:../../etc/passwd', /plain/],
  ['inbox:/etc/passwd', /plain/],
  ['inbox:a//b', /plain/],
  ['inbox:a%00b', /plain/],
  [`inbox:${'x'.repeat(2043)}`, /longer/],
])('the claim %j is none', (text, why) => {
  expect(readObjectSource({ 'sealfleet-source': text })).toEqual({ refused: expect.stringMatching(why) as string })
})
