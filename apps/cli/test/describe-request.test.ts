import { requestBody, type RequestBody } from '@sealfleet/records/operators'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { describeRequest } from '../src/commands/operators/describe-request.js'

const ID = '0190b3c0-0000-7000-8000-000000000001'

function shown(change: Partial<RequestBody>, columns?: number): string {
  const body: RequestBody = {
    version: 2,
    id: ID,
    kind: 'operators.add',
    subject: { kind: 'operator', id: 'eve' },
    detail: { role: 'officer' },
    required: 2,
    createdAt: new Date('2026-11-30T09:00:00.001Z'),
    expiresAt: new Date('2026-12-01T09:00:00.002Z'),
    ...change,
  }
  const terminal = columns === undefined ? undefined : ({ isTTY: true, columns } as never)
  // Without the digest, which differs by itself.
  return describeRequest(body, requestBody(body), terminal).replace(/^SHA-256 .*$/m, '')
}

it('what an officer is about to sign shows the instants to the millisecond, in UTC', () => {
  expect(shown({})).toMatch(/made +2026-11-30T09:00:00\.001Z\nexpires +2026-12-01T09:00:00\.002Z/)
})

it.each([
  ['a name and what it looks like', { id: 'eve' }, { id: 'e\u200bve' }],
  ['a name and its mirror', { id: 'abc' }, { id: '\u202ecba' }],
  ['an escape and its letters', { id: '\u202e' }, { id: '\\u{202E}' }],
])('two requests that differ are shown differently: %s', (_what, a, b) => {
  const of = (subject: { id: string }): string => shown({ subject: { kind: 'operator', ...subject } })
  expect(of(a)).not.toBe(of(b))
})

it.each([
  ['5', 5],
  ['true', true],
  ['{"a":1}', { a: 1 }],
  ['"x"', 'x'],
  ['null', null],
])('the text %j is not shown as the value %j', (text, value) => {
  expect(shown({ detail: { x: text } })).not.toBe(shown({ detail: { x: value } }))
})

it('no value of a request makes or begins a line, on a terminal of any width', () => {
  const forged = fc.constantFrom('ok\nexpires  2099-01-01', `ok${' '.repeat(50)}expires  2099-01-01`, 'ok\u2028kind  x')
  fc.assert(
    fc.property(forged, fc.integer({ min: 40, max: 200 }), (reason, columns) => {
      const lines = shown({ detail: { reason } }, columns).split('\n')
      expect(lines.filter((line) => line.startsWith('expires'))).toHaveLength(1)
      expect(lines.filter((line) => line.startsWith('kind'))).toHaveLength(1)
    }),
  )
})

it.each(['file.shred', 'keys.destroy'] as const)(
  'a %s names the domain by name and id, and no name passes for another',
  (kind) => {
    const of = (domainName: string): string => shown({ kind, detail: { domain: ID, domainName, reason: 'r' } })
    expect(of('invoices').split('\n')[0]).toContain(`of the domain "invoices" (${ID}):`)
    expect(of('\u202e')).not.toBe(of('\\u{202E}'))
    expect(of('a"')).not.toBe(of('a\\"'))
  },
)
