/** From an error of the SDK or of a socket to a StoreError: the one place that knows the SDK's errors. */
import { tlsFault } from '@sealfleet/config'
import { said } from '@sealfleet/telemetry/text'
import { StoreError, type StoreErrorCode } from './errors.js'

/** The fields that we read from the SDK's errors. Structural, because two copies of a class are never `instanceof`. */
interface Symptoms {
  readonly name: string
  /** errno name of a socket error, or S3's code. */
  readonly code: string
  readonly status: number | undefined
  readonly requestId: string | undefined
  /** The store's own words on a refusal, cleaned; empty when there are none. */
  readonly words: string
  /** The bucket's region, when the store answered that it is in another one. */
  readonly region: string | undefined
}

const THROTTLES = new Set([
  'SlowDown',
  'TooManyRequests',
  'TooManyRequestsException',
  'RequestLimitExceeded',
  'RequestThrottled',
  'Throttling',
  'ThrottlingException',
])
const DENIALS = new Set([
  'AccessDenied',
  'SignatureDoesNotMatch',
  'InvalidAccessKeyId',
  'ExpiredToken',
  'InvalidToken',
  'InvalidSecurity',
  'TokenRefreshRequired',
  'AllAccessDisabled',
  'AccountProblem',
  'Forbidden',
])
const MISSING = new Set(['NoSuchKey', 'NoSuchVersion', 'NotFound'])
const UNREACHABLE = new Set([
  ...['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'EHOSTUNREACH', 'ENETUNREACH', 'ENETDOWN', 'ENOTFOUND', 'EAI_AGAIN'],
  ...['ECONNABORTED', 'ERR_STREAM_PREMATURE_CLOSE', 'UND_ERR_SOCKET', 'EPROTO'],
])
/** An answer that isn't HTTP: wrong address. TLS errors are handled before. */
const NOT_S3 = /^HPE_/
const CLOCK = new Set(['RequestTimeTooSkewed', 'RequestExpired'])
const TIMEOUTS = new Set(['RequestTimeout', 'RequestTimeoutException', 'ETIMEDOUT'])
const CHECKSUMS = new Set(['BadDigest', 'InvalidDigest', 'XAmzContentSHA256Mismatch', 'XAmzContentChecksumMismatch'])
/** S3 says of these that the same request is to be sent again: another write of the key, or a body cut short on its way. */
const AGAIN = new Set(['ConditionalRequestConflict', 'OperationAborted', 'IncompleteBody'])

const FIXES: Record<Exclude<StoreErrorCode, 'SOURCE_TOO_LARGE'>, string> = {
  S3_THROTTLED: 'wait; if it lasts, lower the concurrency or ask for a higher limit',
  S3_UNAVAILABLE: 'check that the S3 endpoint is right, up and reachable from here',
  S3_TIMEOUT: 'check the network and the load of the S3 server; raise the time-outs only if it is known to be slow',
  S3_ACCESS_DENIED: 'check the access key, its secret and what its policy allows on this bucket',
  S3_TLS: 'check the certificates of the store and the SEALFLEET_S3_TLS_… settings',
  S3_NO_BUCKET: 'create the bucket, or correct its name in the configuration',
  S3_NO_SUCH_OBJECT: 'check the key and version; if the record names them, look whether something deleted the object',
  S3_OBJECT_EXISTS: 'find out who else writes to this bucket; the object there was left untouched',
  OBJECT_LOCKED: 'delete it after that date, or have the hold lifted in the store; nothing else is wrong',
  S3_NO_SUCH_UPLOAD: 'look for a lifecycle rule or a sweep that aborts uploads too early; a new attempt starts again',
  S3_UNSUPPORTED: 'use an S3 server that has it',
  S3_REJECTED: 'read the store’s code and message; the same request would be refused again',
  CHECKSUM_MISMATCH: 'store the file again and look into the network and disks between here and the store',
  LENGTH_MISMATCH: 'check whether the source or the object changed while it was read',
}

export function fixFor(code: keyof typeof FIXES): string {
  return FIXES[code]
}

/**
 * Turns an error into a StoreError; a StoreError passes unchanged. `what` names the operation, e.g. `put of default/…`;
 * it must hold no secret.
 */
export function toStoreError(error: unknown, what: string): StoreError {
  if (error instanceof StoreError) return error
  const symptoms = symptomsOf(error)
  const tls = symptoms.status === undefined ? tlsFault(error, 's3') : undefined
  const code = tls === undefined ? codeFor(symptoms) : 'S3_TLS'
  const seen = [symptoms.status, symptoms.code || symptoms.name].filter(Boolean).join(' ')
  const story = tls === undefined ? [seen, symptoms.words].filter(Boolean).join(': ') : `the store ${tls.why}`
  return new StoreError(code, `${what}: ${story}`, {
    fix: tls?.fix ?? fixOf(symptoms, code),
    cause: withoutSecrets(symptoms),
    ...(symptoms.status !== undefined && { httpStatus: symptoms.status }),
  })
}

function fixOf(symptoms: Symptoms, code: Classified): string {
  const { region, status } = symptoms
  if (CLOCK.has(symptoms.code)) return 'set this machine’s clock: the store refuses signatures of another time'
  if (region !== undefined)
    return `set SEALFLEET_S3_REGION=${region}, and the endpoint of that region: the bucket is there`
  if (status !== undefined && status >= 300 && status < 400)
    return 'correct SEALFLEET_S3_ENDPOINT and SEALFLEET_S3_REGION: the store sends this request elsewhere'
  if (refusesChecksums(symptoms))
    return 'set SEALFLEET_S3_CHECKSUMS=when-required: this store does not know x-amz-checksum'
  return FIXES[code]
}

/** Older stores name the unknown header, or the unexpected argument. */
function refusesChecksums({ status, words, code }: Symptoms): boolean {
  return (status === 400 || status === 501) && /x-amz-(sdk-)?checksum|x-amz-trailer/i.test(`${code} ${words}`)
}

export function isStoreError(error: unknown, ...codes: StoreErrorCode[]): error is StoreError {
  return error instanceof StoreError && (codes.length === 0 || codes.includes(error.code))
}

type Classified = keyof typeof FIXES

function codeFor(symptoms: Symptoms): Classified {
  const { name, code, status } = symptoms
  if (refusesChecksums(symptoms)) return 'S3_UNSUPPORTED'
  if (THROTTLES.has(code) || status === 429) return 'S3_THROTTLED'
  if (code === 'NoSuchBucket') return 'S3_NO_BUCKET'
  if (code === 'NoSuchUpload') return 'S3_NO_SUCH_UPLOAD'
  if (code === 'PreconditionFailed' || status === 412) return 'S3_OBJECT_EXISTS'
  if (code === 'NotImplemented' || status === 501 || status === 405) return 'S3_UNSUPPORTED'
  if (CHECKSUMS.has(code)) return 'CHECKSUM_MISMATCH'
  if (code === 'EntityTooLarge') return 'S3_REJECTED'
  if (code === 'InvalidRange' || status === 416) return 'LENGTH_MISMATCH'
  if (DENIALS.has(code) || CLOCK.has(code) || status === 401 || status === 403) return 'S3_ACCESS_DENIED'
  if (name === 'CredentialsProviderError') return 'S3_ACCESS_DENIED'
  if (MISSING.has(code) || status === 404) return 'S3_NO_SUCH_OBJECT'
  if (AGAIN.has(code)) return 'S3_UNAVAILABLE'
  if (TIMEOUTS.has(code) || status === 408) return 'S3_TIMEOUT'
  if (UNREACHABLE.has(code) || NOT_S3.test(code)) return 'S3_UNAVAILABLE'
  if (name === 'TimeoutError') return 'S3_TIMEOUT'
  if (status !== undefined && status >= 500) return 'S3_UNAVAILABLE'
  // The bucket is elsewhere: another region, or a proxy's own redirect.
  if (status !== undefined && status >= 300 && status < 400) return 'S3_REJECTED'
  // A good status with an unreadable body: the path to the store is at fault, not the request. An error without any
  // status is one of a request that was never sent (a wrong argument): a retry would not help, so it must not look
  // transient.
  return status !== undefined && status < 400 ? 'S3_UNAVAILABLE' : 'S3_REJECTED'
}

function symptomsOf(error: unknown): Symptoms {
  const top = fields(error)
  const metadata = fields(top['$metadata'])
  const status = metadata['httpStatusCode']
  const requestId = metadata['requestId']
  const name = text(top['name'])
  // S3's own code is the name of the SDK's error; a socket's error has it as `code`, or has one inside (happy
  // eyeballs).
  const errors = Array.isArray(top['errors']) ? top['errors'].map((one) => text(fields(one)['code'])) : []
  const code =
    text(top['code']) || text(top['Code']) || errors.find(Boolean) || (typeof status === 'number' ? name : '')
  return {
    name,
    code,
    status: typeof status === 'number' && status > 0 ? status : undefined,
    requestId: typeof requestId === 'string' ? requestId : undefined,
    words: typeof status === 'number' && status >= 300 ? wordsOf(top, name, code) : '',
    region: regionOf(top),
  }
}

/** The store's `<Message>`, and the header or argument that it names; empty if the SDK made the message up. */
function wordsOf(top: Partial<Record<string, unknown>>, name: string, code: string): string {
  const message = text(top['message'])
  const madeUp = message === '' || [name, code, 'UnknownError', 'Unknown'].includes(message) || NOT_XML.test(message)
  const named = [top['Header'], top['ArgumentName']].map(text).filter((one) => one !== '' && !message.includes(one))
  return said([...(madeUp ? [] : [message]), ...named].join(' '))
}

/** The SDK's message for an answer that is not XML: most often a proxy's error page. */
const NOT_XML = /^(char '|Unencoded|unexpected|Deserialization error)/i

/** From the header in every answer about a bucket elsewhere, or from the answer's own body. */
function regionOf(top: Partial<Record<string, unknown>>): string | undefined {
  const status = fields(top['$metadata'])['httpStatusCode']
  const elsewhere = status === 301 || status === 307 || status === 400
  if (!elsewhere) return undefined
  const header = text(fields(fields(top['$response'])['headers'])['x-amz-bucket-region'])
  const expecting = /expecting '([^']+)'/.exec(text(top['message']))?.[1]
  const region =
    text(top['Region']) || expecting || (status === 400 && text(top['name']) !== 'UnknownError' ? '' : header)
  return /^[a-z0-9-]{1,64}$/.test(region) ? region : undefined
}

function withoutSecrets({ name, code, status, requestId }: Symptoms): Error {
  const cause = new Error(code || name || 'unknown')
  cause.name = name || 'Error'
  return Object.assign(cause, { ...(code && { code }), ...(status && { status }), ...(requestId && { requestId }) })
}

function fields(value: unknown): Partial<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? value : {}
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : ''
}
