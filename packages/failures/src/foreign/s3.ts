import { textOf, type ErrorNode } from '../chain.js'
import type { FailureCode } from '../list.js'
import { isNetworkErrno, isTimeoutErrno } from './errno.js'

const BY_NAME: Readonly<Record<string, FailureCode>> = {
  SlowDown: 'S3_THROTTLED',
  Throttling: 'S3_THROTTLED',
  ThrottlingException: 'S3_THROTTLED',
  TooManyRequestsException: 'S3_THROTTLED',
  RequestLimitExceeded: 'S3_THROTTLED',
  RequestThrottled: 'S3_THROTTLED',
  TimeoutError: 'S3_TIMEOUT',
  RequestTimeout: 'S3_TIMEOUT',
  RequestTimeoutException: 'S3_TIMEOUT',
  InternalError: 'S3_UNAVAILABLE',
  ServiceUnavailable: 'S3_UNAVAILABLE',
  IncompleteBody: 'S3_UNAVAILABLE',
  OperationAborted: 'S3_UNAVAILABLE',
  AccessDenied: 'S3_ACCESS_DENIED',
  AllAccessDisabled: 'S3_ACCESS_DENIED',
  AccountProblem: 'S3_ACCESS_DENIED',
  SignatureDoesNotMatch: 'S3_ACCESS_DENIED',
  InvalidAccessKeyId: 'S3_ACCESS_DENIED',
  InvalidSecurity: 'S3_ACCESS_DENIED',
  InvalidToken: 'S3_ACCESS_DENIED',
  ExpiredToken: 'S3_ACCESS_DENIED',
  TokenRefreshRequired: 'S3_ACCESS_DENIED',
  RequestTimeTooSkewed: 'S3_ACCESS_DENIED',
  RequestExpired: 'S3_ACCESS_DENIED',
  CredentialsProviderError: 'S3_ACCESS_DENIED',
  NoSuchBucket: 'S3_NO_BUCKET',
  NoSuchKey: 'S3_NO_SUCH_OBJECT',
  NoSuchVersion: 'S3_NO_SUCH_OBJECT',
  NotFound: 'S3_NO_SUCH_OBJECT',
  BadDigest: 'CHECKSUM_MISMATCH',
  InvalidDigest: 'CHECKSUM_MISMATCH',
  XAmzContentSHA256Mismatch: 'CHECKSUM_MISMATCH',
  XAmzContentChecksumMismatch: 'CHECKSUM_MISMATCH',
  EntityTooLarge: 'SOURCE_TOO_LARGE',
}

const BY_STATUS: Readonly<Record<number, FailureCode>> = {
  401: 'S3_ACCESS_DENIED',
  403: 'S3_ACCESS_DENIED',
  404: 'S3_NO_SUCH_OBJECT',
  408: 'S3_TIMEOUT',
  429: 'S3_THROTTLED',
  500: 'S3_UNAVAILABLE',
  502: 'S3_UNAVAILABLE',
  503: 'S3_UNAVAILABLE',
  504: 'S3_UNAVAILABLE',
  507: 'S3_UNAVAILABLE',
}

/** Names that no other library's errors have, so they count even if the SDK omitted `$metadata`. */
const UNMISTAKABLE = new Set(['CredentialsProviderError', 'SlowDown', 'NoSuchBucket', 'NoSuchKey'])

/** Errors of the AWS SDK: they carry `$metadata`; a failed connection gives a plain network error with it. */
export function s3Failure(node: ErrorNode): FailureCode | undefined {
  const name = textOf(node, 'name')
  const metadata = node['$metadata']
  if (typeof metadata !== 'object' || metadata === null) return UNMISTAKABLE.has(name) ? BY_NAME[name] : undefined
  const named = Object.hasOwn(BY_NAME, name) ? BY_NAME[name] : undefined
  if (named !== undefined) return named
  const status = (metadata as ErrorNode)['httpStatusCode']
  if (typeof status === 'number' && status >= 400) return BY_STATUS[status]
  if (isTimeoutErrno(node)) return 'S3_TIMEOUT'
  return isNetworkErrno(node) || status === undefined ? 'S3_UNAVAILABLE' : undefined
}
