import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { fileIdFor, ingestJobId, parseIngestJobId, toFileId } from '../src/ingest/ids.js'
import {
  contentFileId,
  fingerprintOf,
  ingestJobFor,
  requestFingerprint,
  requestOf,
  type RequestContent,
} from '../src/ingest/request.js'

const REQUEST: RequestContent = { domain: 'default', root: 'inbox', path: 'a/b.txt', context: Buffer.from('case 7') }

describe('file ids', () => {
  test('a foreign id maps to what any other UUIDv5 implementation gives', () => {
    // Python: uuid.uuid5(uuid.UUID('3f0f4f6e-7d0c-4a57-9b1c-5a4c8f3f9a10'), 'invoice 2026/17')
    expect(fileIdFor('invoice 2026/17')).toBe('64611804-24c9-5dae-9ace-89a0750d432b')
  })

  test('a UUID stands for itself, in lower case; anything else is foreign', () => {
    expect(toFileId('0198C0DE-0000-7000-8000-0123456789AB')).toBe('0198c0de-0000-7000-8000-0123456789ab')
    expect(toFileId('invoice 2026/17')).toBe(fileIdFor('invoice 2026/17'))
  })

  test.each(['', '00000000-0000-0000-0000-000000000000'])('%j is no one’s id', (id) => {
    expect(() => toFileId(id)).toThrow(expect.objectContaining({ code: 'PAYLOAD_INVALID' }))
  })

  test('foreign ids are told apart to the byte', () => {
    expect(fileIdFor('a')).not.toBe(fileIdFor('A'))
    expect(fileIdFor('a')).not.toBe(fileIdFor('a '))
    expect(fileIdFor('\u00e9')).not.toBe(fileIdFor('e\u0301'))
  })
})

describe('job ids', () => {
  test('have no colon, and an inverse', () => {
    const id = ingestJobId('0198c0de-0000-7000-8000-0123456789ab', 3)
    expect(id).toBe('f-0198c0de-0000-7000-8000-0123456789ab-g3')
    expect(parseIngestJobId(id)).toEqual({ fileId: '0198c0de-0000-7000-8000-0123456789ab', generation: 3 })
  })

  test.each(['17', 'f-x-g1', 'f-0198c0de-0000-7000-8000-0123456789ab-g0', 'f-0198c0de-0000-7000-8000-0123456789ab'])(
    '%s is of other making',
    (id) => expect(parseIngestJobId(id)).toBeUndefined(),
  )
})

describe('the fingerprint', () => {
  test('is SHA-256 of the documented encoding', () => {
    const parts = [Buffer.from('SFV1/request-1\0\0')]
    for (const field of ['default', 'inbox', 'a/b.txt', 'case 7']) {
      parts.push(Buffer.from([0, 0, 0, field.length]), Buffer.from(field))
    }
    expect(parts[0]).toHaveLength(16)
    expect(requestFingerprint(REQUEST)).toEqual(createHash('sha256').update(Buffer.concat(parts)).digest())
  })

  test('differs whenever any field differs, wherever the border between two fields lies', () => {
    const field = fc.string({ unit: fc.constantFrom('a', 'b', '/', '\0'), maxLength: 4 })
    const request = fc.tuple(field, field, field, field)
    const print = ([domain, root, path, context]: [string, string, string, string]): string =>
      requestFingerprint({ domain, root, path, context: Buffer.from(context) }).toString('hex')
    fc.assert(
      fc.property(request, request, (one, other) => {
        expect(print(one) === print(other)).toBe(JSON.stringify(one) === JSON.stringify(other))
      }),
      { numRuns: 2_000 },
    )
  })

  test('of a job is that of its request; an absent context is an empty one', () => {
    const job = ingestJobFor(REQUEST)
    expect(fingerprintOf(job)).toEqual(requestFingerprint(REQUEST))
    expect(requestOf(job)).toEqual(REQUEST)
    const bare = ingestJobFor({ ...REQUEST, context: Buffer.alloc(0) })
    expect(bare).not.toHaveProperty('context')
    expect(fingerprintOf(bare)).toEqual(fingerprintOf({ ...bare, context: '' }))
  })

  test('gives the id of a request that has none: asking twice is asking once', () => {
    expect(ingestJobFor(REQUEST).fileId).toBe(contentFileId({ ...REQUEST }))
    expect(contentFileId(REQUEST)).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-5/)
    expect(contentFileId(REQUEST)).not.toBe(contentFileId({ ...REQUEST, path: 'a/c.txt' }))
    // Its own namespace: a foreign id that happens to be the fingerprint's hex names another file.
    expect(contentFileId(REQUEST)).not.toBe(fileIdFor(requestFingerprint(REQUEST).toString('hex')))
  })
})
