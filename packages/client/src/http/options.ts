import { SealfleetError } from '../sealfleet-error.js'

export interface SealfleetClientOptions {
  /** where the gateway is: `https://sealfleet.example`; a path before `/v1` may follow */
  readonly baseUrl: string
  /** a token of `sealfleet tokens create`, or a function that gives the present one; it is called for each request */
  readonly token: string | (() => string | Promise<string>)
  /** milliseconds until an answer must have begun; default 30,000. Uploads have no such limit: give them a signal */
  readonly timeoutMs?: number | undefined
  /** milliseconds without a byte after which a download counts as cut off; default 60,000 */
  readonly stallMs?: number | undefined
  /** how often a request is repeated after an outage; default 4, with pauses from 0.2 to 10 seconds; 0: never */
  readonly retries?: number | undefined
  /** allows `http:` beyond this machine, where token and files can be read on their way; default false */
  readonly allowPlaintext?: boolean | undefined
  /** in place of the global `fetch` */
  readonly fetch?: typeof globalThis.fetch | undefined
}

/** Options of one call. */
export interface CallOptions {
  /** abort it to end the call, which then throws the signal's reason */
  readonly signal?: AbortSignal | undefined
}

/**
 * The address below which the API is. @throws {SealfleetError} CONFIG_INVALID, before anything is sent
 */
export function baseOf({ baseUrl, allowPlaintext = false }: SealfleetClientOptions): URL {
  const refuse = (detail: string, fix: string): never => {
    throw new SealfleetError('CONFIG_INVALID', detail, { fix })
  }
  if (!URL.canParse(baseUrl)) return refuse('baseUrl is not a URL', 'Write it as https://host.')
  const url = new URL(baseUrl)
  if (url.protocol !== 'https:' && url.protocol !== 'http:')
    return refuse('baseUrl has another scheme than https:', 'Write it as https://host.')
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '')
    return refuse('baseUrl has a user, a query or a fragment', 'The token has an option of its own.')
  if (url.protocol === 'http:' && !allowPlaintext && !isLoopback(url.hostname))
    return refuse(
      `the gateway at ${url.host} is beyond this machine, and its URL has no TLS`,
      'Use https:; or allow it with `allowPlaintext: true`, for a network that no one else is in.',
    )
  if (!url.pathname.endsWith('/')) url.pathname += '/'
  return url
}

function isLoopback(host: string): boolean {
  return /^(127\.\d+\.\d+\.\d+|\[::1\]|(.*\.)?localhost)$/.test(host)
}
