import { inspect } from 'node:util'
import { expect, test } from 'vitest'
import { Secret } from '../src/secret.js'

const secret = new Secret('hunter2-ünïcode')
/** what a careless template string sees */
const careless = secret as unknown as string

test.each([
  ['a template string', `${careless}`],
  ['concatenation', '' + careless],
  ['JSON', JSON.stringify({ a: [secret] })],
  ['inspect', inspect({ deep: { secret } }, { depth: null, showHidden: true })],
  ['an error message', new Error(`failed with ${careless}`).message],
  ['a structured clone', inspect(structuredClone({ secret }))],
  ['its own properties', JSON.stringify(Object.entries(secret))],
])('a secret does not come out in %s', (_, printed) => {
  expect(printed).not.toContain('hunter2')
})

test('it prints as [redacted]', () => {
  expect(`${careless}`).toBe('[redacted]')
  expect(JSON.stringify({ secret })).toBe('{"secret":"[redacted]"}')
  expect(inspect(secret)).toBe('[redacted]')
})

test('reveal() gives the value back, bytes() a dedicated buffer of it', () => {
  expect(secret.reveal()).toBe('hunter2-ünïcode')
  const bytes = secret.bytes()
  expect(bytes.toString()).toBe('hunter2-ünïcode')
  expect(bytes.byteOffset).toBe(0)
  expect(bytes.buffer.byteLength).toBe(bytes.length)
  bytes.fill(0)
  expect(secret.reveal()).toBe('hunter2-ünïcode')
})
