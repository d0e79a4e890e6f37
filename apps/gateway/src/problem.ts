import { adviceFor, classify, FAILURES, ownAdvice, type FailureCode } from '@sealfleet/failures'

/** Codes of HTTP itself, beside those of packages/failures. The list is closed. */
export const HTTP_CODES = {
  BAD_REQUEST: {
    status: 400,
    title: 'The request cannot be read.',
    fix: 'Follow /openapi.json; `detail` says what is wrong.',
  },
  UNAUTHENTICATED: {
    status: 401,
    title: 'The request has no valid token.',
    fix: 'Send a token of this fleet in the header `Authorization`, of the type `Bearer`.',
  },
  TOKEN_EXPIRED: { status: 401, title: 'The token has expired.', fix: 'Ask the operators for a new token.' },
  TOKEN_REVOKED: { status: 401, title: 'The token was revoked.', fix: 'Ask the operators for a new token.' },
  FORBIDDEN: {
    status: 403,
    title: 'The token may not do this.',
    fix: 'Ask the operators for a token with the scope that `detail` names.',
  },
  ROUTE_UNKNOWN: { status: 404, title: 'There is no such address.', fix: 'Look the address up in /openapi.json.' },
  METHOD_NOT_ALLOWED: {
    status: 405,
    title: 'This address does not know the method.',
    fix: 'Use a method of the `Allow` header.',
  },
  REQUEST_TIMEOUT: { status: 408, title: 'The request took too long to arrive.', fix: 'Send it again, faster.' },
  FILE_GONE: { status: 410, title: 'The file was deleted or given up.', fix: 'Nothing can be read any more.' },
  BODY_TOO_LARGE: { status: 413, title: 'The body is too large.', fix: 'Send fewer files in a request.' },
  MEDIA_TYPE: { status: 415, title: 'The body has another media type.', fix: 'Send `Content-Type: application/json`.' },
  RANGE_UNSATISFIABLE: {
    status: 416,
    title: 'The range begins after the end of the file.',
    fix: 'Ask for bytes within the length that `Content-Range` names.',
  },
  RATE_LIMITED: {
    status: 429,
    title: 'The token has used up its requests or bytes for now.',
    fix: 'Wait for the seconds of `Retry-After`, then send it again.',
  },
  HEADERS_TOO_LARGE: { status: 431, title: 'The headers are too large.', fix: 'Send fewer or shorter headers.' },
  INTERNAL: {
    status: 500,
    title: 'The gateway failed.',
    fix: 'Send it again with the same ids; if it fails again, give the operators the request id.',
  },
  BUSY: {
    status: 503,
    title: 'The gateway has as many reads under way as it may.',
    fix: 'Wait for the seconds of `Retry-After`, then send it again.',
  },
} as const satisfies Readonly<Record<string, { readonly status: number; readonly title: string; readonly fix: string }>>

export type HttpCode = keyof typeof HTTP_CODES

/** RFC 9457, with our code and what the caller should do. */
export interface ProblemBody {
  readonly type: string
  readonly title: string
  readonly status: number
  readonly code: string
  readonly detail: string
  readonly fix: string
  readonly requestId: string
}

/** An answer that is no success. Its detail is for the caller: nothing of the inside is in it. */
export class Problem extends Error {
  override readonly name = 'Problem'
  readonly status: number
  readonly code: HttpCode | FailureCode
  readonly title: string
  readonly fix: string
  readonly headers: Readonly<Record<string, string>>

  constructor(
    code: HttpCode | FailureCode,
    detail?: string,
    o: { readonly headers?: Readonly<Record<string, string>>; readonly fix?: string; readonly cause?: unknown } = {},
  ) {
    const known = Object.hasOwn(HTTP_CODES, code) ? HTTP_CODES[code as HttpCode] : ofFailure(code as FailureCode)
    super(detail ?? known.title, o.cause === undefined ? undefined : { cause: o.cause })
    this.code = code
    this.status = known.status
    this.title = known.title
    this.fix = o.fix ?? known.fix
    this.headers = { ...(known.status === 503 && { 'retry-after': retryAfter(code) }), ...o.headers }
  }

  body(requestId: string): ProblemBody {
    const { status, code, title, message, fix } = this
    return { type: `urn:sealfleet:problem:${code}`, title, status, code, detail: message, fix, requestId }
  }
}

/**
 * The problem of a thrown value. Only the code's own words are shown for what is not the caller's fault: messages of
 * drivers can hold addresses and names of the inside.
 */
export function toProblem(error: unknown): Problem {
  if (error instanceof Problem) return error
  const http = ofFastify(error)
  if (http !== undefined) return http
  const { code, from } = classify(error)
  if (code === 'UNCLASSIFIED') return new Problem('INTERNAL', undefined, { cause: error })
  const ofCaller = statusOf(code) < 500 && from instanceof Error
  const fix = ofCaller ? ownAdvice(from) : undefined
  return new Problem(code, ofCaller ? from.message : undefined, { cause: error, ...(fix !== undefined && { fix }) })
}

/** The list's advice is for on-call, or for producers who have this repository: a caller has the document alone. */
function ofFailure(code: FailureCode) {
  const status = statusOf(code)
  const { summary } = FAILURES[code]
  if (code === 'PAYLOAD_INVALID')
    return { status, title: 'The request breaks the contract.', fix: HTTP_CODES.BAD_REQUEST.fix }
  if (status === 503) return { status, title: summary, fix: HTTP_CODES.BUSY.fix }
  if (status === 500) return { status, title: summary, fix: 'Give the operators the request id.' }
  return { status, title: summary, fix: OF_CALLER[code] ?? adviceFor(code, 'producer') }
}

const OF_CALLER: Partial<Record<FailureCode, string>> = {
  E_KEY_DESTROYED: 'Nothing can be read any more.',
  NO_ACTIVE_KEY: 'Ask the operators to make keys for the key domain.',
  NOT_FOUND: 'Check the id, and the domains of the token.',
}

const STATUS: Partial<Record<FailureCode, number>> = {
  PAYLOAD_INVALID: 400,
  ROOT_UNKNOWN: 400,
  NOT_FOUND: 404,
  E_KEY_DESTROYED: 410,
  REQUEST_CONFLICT: 409,
  FILE_NOT_STORED: 409,
  BAD_STATE: 409,
  HELD: 409,
  NO_ACTIVE_KEY: 409,
}

/** What cannot be reached is 503, whether it heals by itself or is repaired; what is damaged here is 500. */
function statusOf(code: FailureCode): number {
  const { class: kind } = FAILURES[code]
  return STATUS[code] ?? (kind === 'transient-infrastructure' || kind === 'broken-infrastructure' ? 503 : 500)
}

/** Seconds: an outage that ends by itself is soon over, one that a person repairs is not. */
function retryAfter(code: string): string {
  return Object.hasOwn(FAILURES, code) && FAILURES[code as FailureCode].class === 'broken-infrastructure' ? '60' : '5'
}

/** Fastify's own refusals, by their codes: https://fastify.dev/docs/latest/Reference/Errors/ */
function ofFastify(error: unknown): Problem | undefined {
  if (!(error instanceof Error) || !('code' in error) || typeof error.code !== 'string') return undefined
  if (error.code === 'FST_ERR_CTP_BODY_TOO_LARGE') return new Problem('BODY_TOO_LARGE', undefined, { cause: error })
  if (error.code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE') return new Problem('MEDIA_TYPE', undefined, { cause: error })
  if (error.code === 'FST_ERR_VALIDATION') return new Problem('BAD_REQUEST', error.message, { cause: error })
  const status = 'statusCode' in error ? error.statusCode : undefined
  const isRequest = typeof status === 'number' && status >= 400 && status < 500
  return error.code.startsWith('FST_') && isRequest
    ? new Problem('BAD_REQUEST', undefined, { cause: error })
    : undefined
}
