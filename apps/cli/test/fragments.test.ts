import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { PIECE, Pieces } from './support/fragments.js'

const secret = randomBytes(32)
const pieces = new Pieces([{ name: 'key', bytes: secret }])
const surrounded = (middle: Buffer, before = 13, after = 7): Buffer =>
  Buffer.concat([Buffer.alloc(before, 0x20), middle, Buffer.alloc(after, 0x20)])

describe('the search for pieces of secrets', () => {
  test.each(['raw', 'hex', 'base64'] as const)(
    'finds any eight bytes of a secret, %s, wherever they stand',
    (dress) => {
      fc.assert(
        fc.property(
          fc.nat(secret.length - PIECE),
          fc.uint8Array({ minLength: 0, maxLength: 9 }),
          fc.uint8Array({ minLength: 0, maxLength: 9 }),
          (at, before, after) => {
            const bytes = Buffer.concat([before, secret.subarray(at, at + PIECE), after])
            const dressed = dress === 'raw' ? bytes : Buffer.from(bytes.toString(dress))
            expect(pieces.findIn('here', surrounded(dressed)).map(({ secret: name }) => name)).toContain('key')
          },
        ),
      )
    },
  )

  test('reads capitals, and the alphabet of URLs', () => {
    const capitals = Buffer.from(secret.toString('hex').toUpperCase())
    expect(pieces.findIn('here', capitals)).toEqual([{ secret: 'key', place: 'here', dress: 'hex' }])
    const many = new Pieces(
      Array.from({ length: 50 }, (_, n) => ({ name: String(n), bytes: Buffer.alloc(32, n + 200) })),
    )
    expect(many.findIn('here', Buffer.from(Buffer.alloc(32, 251).toString('base64url')))).toHaveLength(1)
  })

  test('finds nothing in noise, nor seven bytes', () => {
    expect(pieces.findIn('here', randomBytes(2 ** 20))).toEqual([])
    expect(pieces.findIn('here', surrounded(secret.subarray(3, 10)))).toEqual([])
  })
})
