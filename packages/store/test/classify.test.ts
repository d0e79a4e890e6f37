import { expect, test } from 'vitest'

import { toStoreError } from '../src/classify.js'
import type { StoreErrorCode } from '../src/errors.js'

/** An Error with the properties that the SDK or a socket gives it. */
function like(name: string, message: string, properties: object = {}): Error {
  return Object.assign(new Error(message), { name, ...properties })
}

const aws = (name: string, httpStatusCode?: number): Error =>
  like(name, name, { $fault: 'server', $metadata: { httpStatusCode, attempts: 1, totalRetryDelay: 0 } })
const errno = (code: string, syscall: string): Error =>
  like('Error', `${code}: something, ${syscall}`, { code, errno: -2, syscall, $metadata: { attempts: 1 } })

const TABLE: readonly (readonly [StoreErrorCode, string, Error])[] = [
  ['S3_THROTTLED', '503 SlowDown', aws('SlowDown', 503)],
  ['S3_THROTTLED', '400 ThrottlingException', aws('ThrottlingException', 400)],
  ['S3_THROTTLED', '429 without a name', aws('Unknown', 429)],
  ['S3_UNAVAILABLE', '500 InternalError', aws('InternalError', 500)],
  ['S3_UNAVAILABLE', '502 of a proxy', aws('Error', 502)],
  ['S3_UNAVAILABLE', 'another write of the same key', aws('OperationAborted', 409)],
  ['S3_UNAVAILABLE', 'a body that was cut short on its way', aws('IncompleteBody', 400)],
  ['S3_UNAVAILABLE', 'a refused connection', errno('ECONNREFUSED', 'connect')],
  [
    'S3_UNAVAILABLE',
    'an unreadable answer',
    like('SyntaxError', 'Unexpected end of JSON', { $metadata: { httpStatusCode: 200, attempts: 1 } }),
  ],
  [
    'S3_TIMEOUT',
    'the handler’s time-out',
    like('TimeoutError', 'Connection timed out after 5000 ms', { $metadata: { attempts: 3 } }),
  ],
  ['S3_TIMEOUT', 'a socket’s time-out', errno('ETIMEDOUT', 'read')],
  ['S3_TIMEOUT', 'the store’s own time-out', aws('RequestTimeout', 400)],
  ['S3_ACCESS_DENIED', 'a wrong secret', aws('SignatureDoesNotMatch', 403)],
  ['S3_ACCESS_DENIED', 'an expired token', aws('ExpiredToken', 400)],
  ['S3_ACCESS_DENIED', 'a token to be renewed', aws('TokenRefreshRequired', 400)],
  ['S3_ACCESS_DENIED', 'a clock that is wrong', aws('RequestTimeTooSkewed', 403)],
  ['S3_ACCESS_DENIED', 'HEAD, whose 403 has no name', aws('403', 403)],
  [
    'S3_ACCESS_DENIED',
    'no credentials at all',
    like('CredentialsProviderError', 'Could not load credentials from any providers'),
  ],
  ['S3_NO_BUCKET', 'a missing bucket', aws('NoSuchBucket', 404)],
  ['S3_NO_SUCH_OBJECT', 'a missing object', aws('NoSuchKey', 404)],
  ['S3_NO_SUCH_OBJECT', 'HEAD of a missing object', aws('NotFound', 404)],
  ['CHECKSUM_MISMATCH', 'a wrong checksum', aws('BadDigest', 400)],
  ['CHECKSUM_MISMATCH', 'a wrong checksum of a part', aws('XAmzContentChecksumMismatch', 400)],
  ['S3_REJECTED', 'an object too large for the store', aws('EntityTooLarge', 400)],
  ['S3_REJECTED', 'a request the store does not understand', aws('MalformedXML', 400)],
  ['S3_REJECTED', 'a request that was never sent', like('TypeError', 'x')],
]

test.each(TABLE)('%s: %s', (code, _, error) => {
  expect(toStoreError(error, 'put of default/a')).toMatchObject({ name: 'StoreError', code })
})
