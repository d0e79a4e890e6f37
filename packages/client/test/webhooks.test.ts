import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { SealfleetError, signWebhook, verifyWebhook } from '../src/webhooks.js'

/** The example of the specification and of its reference implementations. */
const SECRET = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'
const ID = 'msg_p5jXN8AQM9LWM0D4loKWxJek'
const TIMESTAMP = 1614265330
const BODY = '{"test": 2432232314}'
const SIGNATURE = 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE='

const OTHER = `whsec_${randomBytes(32).toString('base64')}`
const headers = { 'webhook-id': ID, 'webhook-timestamp': String(TIMESTAMP), 'webhook-signature': SIGNATURE }
const at = { nowSeconds: TIMESTAMP }

const codeOf = (work: () => unknown): string => {
  try {
    work()
    return 'nothing'
  } catch (error) {
    return error instanceof SealfleetError ? error.code : String(error)
  }
}

test('the signature is that of the specification', () => {
  expect(signWebhook(BODY, { id: ID, timestamp: TIMESTAMP }, SECRET)).toBe(SIGNATURE)
})

test.each<[string, Parameters<typeof verifyWebhook>]>([
  ['as text', [BODY, headers, SECRET, at]],
  ['as bytes, with headers of fetch', [Buffer.from(BODY), new Headers(headers), SECRET, at]],
  ['with names in capitals', [BODY, { ...headers, 'webhook-id': undefined, 'Webhook-Id': ID }, SECRET, at]],
  ['among other signatures', [BODY, { ...headers, 'webhook-signature': `v1a,x v1,AAAA ${SIGNATURE}` }, SECRET, at]],
  ['by one of two secrets', [BODY, headers, [OTHER, SECRET], at]],
  ['at the end of the tolerance', [BODY, headers, SECRET, { nowSeconds: TIMESTAMP + 300 }]],
  ['at its beginning', [BODY, headers, SECRET, { nowSeconds: TIMESTAMP - 300 }]],
])('a right webhook is accepted %s', (name, args) => {
  if (name === 'with names in capitals') delete (args[1] as Record<string, unknown>)['webhook-id']
  expect(verifyWebhook(...args)).toEqual({ id: ID, sentAt: new Date(TIMESTAMP * 1_000) })
})

test.each<[string, Parameters<typeof verifyWebhook>]>([
  ['another body', [`${BODY} `, headers, SECRET, at]],
  ['another id', [BODY, { ...headers, 'webhook-id': 'msg_2' }, SECRET, at]],
  ['another time', [BODY, { ...headers, 'webhook-timestamp': String(TIMESTAMP + 1) }, SECRET, at]],
  ['a time that is no number', [BODY, { ...headers, 'webhook-timestamp': '1e9' }, SECRET, at]],
  ['a time too long ago', [BODY, headers, SECRET, { nowSeconds: TIMESTAMP + 301 }]],
  ['a time too far ahead', [BODY, headers, SECRET, { nowSeconds: TIMESTAMP - 301 }]],
  ['another secret', [BODY, headers, OTHER, at]],
  ['no secret', [BODY, headers, [], at]],
  [
    'a signature of another version',
    [BODY, { ...headers, 'webhook-signature': SIGNATURE.replace('v1', 'v2') }, SECRET, at],
  ],
  ['a signature that is cut off', [BODY, { ...headers, 'webhook-signature': SIGNATURE.slice(0, -2) }, SECRET, at]],
  ['no signature', [BODY, { ...headers, 'webhook-signature': undefined }, SECRET, at]],
])('a webhook is refused with %s', (_, args) => {
  expect(codeOf(() => verifyWebhook(...args))).toBe('WEBHOOK_INVALID')
})

test.each(['', 'MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', 'whsec_', 'whsec_AAAA', 'whsec_!!!'])(
  'a secret of another form is refused: %s',
  (secret) => {
    expect(codeOf(() => verifyWebhook(BODY, headers, secret, at))).toBe('CONFIG_INVALID')
  },
)
