import { SealfleetError } from '../sealfleet-error.js'

/** Answers that say "later": too many requests, and a gateway or what stands before it without its services. */
const LATER: ReadonlySet<number> = new Set([408, 429, 502, 503, 504])

/** A problem of the API (RFC 9457, application/problem+json) as far as it is read. */
interface Problem {
  readonly code?: unknown
  readonly detail?: unknown
  readonly title?: unknown
  readonly fix?: unknown
  readonly requestId?: unknown
  readonly status?: unknown
}

/** The error that an answer means; what is no problem of the API is BAD_ANSWER. */
export async function errorOf(response: Response): Promise<SealfleetError> {
  const { status, headers } = response
  const requestId = headers.get('x-request-id') ?? undefined
  const isProblem = /^application\/(problem\+)?json\b/.test(headers.get('content-type') ?? '')
  const body: unknown = isProblem ? await response.json().catch(() => undefined) : await response.body?.cancel()
  const problem = typeof body === 'object' && body !== null ? (body as Problem) : {}
  return fromProblem(problem, { status, requestId })
}

/** A problem of one item of a batch, or of a whole answer. */
export function fromProblem(
  problem: Problem,
  { status, requestId }: { readonly status?: number | undefined; readonly requestId?: string | undefined },
): SealfleetError {
  const own = text(problem.code)
  const told = typeof problem.status === 'number' ? problem.status : undefined
  const detail = text(problem.detail) ?? text(problem.title) ?? `the answer has status ${status ?? 'of no number'}`
  return new SealfleetError(own ?? 'BAD_ANSWER', detail, {
    status: status ?? told,
    requestId: text(problem.requestId) ?? requestId,
    fix: text(problem.fix) ?? (own === undefined ? 'Check that baseUrl leads to a Sealfleet gateway.' : undefined),
    retryable: LATER.has(status ?? told ?? 0),
  })
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}

/** Milliseconds of a Retry-After header: seconds, or a date. @param now milliseconds since 1970 */
export function retryAfterMs(header: string | null, now: number): number | undefined {
  if (header === null) return undefined
  if (/^\d{1,9}$/.test(header.trim())) return Number(header) * 1_000
  const at = Date.parse(header)
  return Number.isNaN(at) ? undefined : Math.max(0, at - now)
}
