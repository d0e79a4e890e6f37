import { SealfleetError } from '../sealfleet-error.js'
import { baseOf, type SealfleetClientOptions } from './options.js'
import { errorOf, retryAfterMs } from './problem.js'

/** What `fetch` sends. */
export type Body = NonNullable<RequestInit['body']>

export interface Exchange {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'DELETE'
  /** below the base: `v1/files` */
  readonly path: string
  readonly query?: Readonly<Record<string, string | number | undefined>>
  readonly headers?: Readonly<Record<string, string>>
  /** a JSON value, sent as such */
  readonly json?: unknown
  /** bytes; a function, since each try sends them from the start */
  readonly body?: () => Body
  /** whether it may be sent a second time; default true */
  readonly repeatable?: boolean
  /** whether `timeoutMs` holds; default true */
  readonly limited?: boolean
  readonly signal?: AbortSignal | undefined
}

/** Pauses before a repetition, in milliseconds: doubling from the first to the last, each shortened at random. */
const FIRST_PAUSE_MS = 200
const LAST_PAUSE_MS = 10_000
/** A server that asks for a longer pause gets none: the caller decides. */
const LONGEST_RETRY_AFTER_MS = 60_000

/** Sends requests and repeats those that an outage has stopped. */
export class Transport {
  readonly #base: URL
  readonly #token: SealfleetClientOptions['token']
  readonly #fetch: typeof globalThis.fetch
  readonly #timeoutMs: number
  readonly #retries: number
  readonly stallMs: number

  constructor(options: SealfleetClientOptions) {
    this.#base = baseOf(options)
    this.#token = options.token
    this.#fetch = options.fetch ?? globalThis.fetch
    this.#timeoutMs = options.timeoutMs ?? 30_000
    this.#retries = options.retries ?? 4
    this.stallMs = options.stallMs ?? 60_000
  }

  /** The JSON of an answer. @throws {SealfleetError}; the signal's reason */
  async json(exchange: Exchange): Promise<unknown> {
    const response = await this.send({ ...exchange, headers: { accept: 'application/json', ...exchange.headers } })
    try {
      return await response.json()
    } catch (error) {
      exchange.signal?.throwIfAborted()
      const requestId = response.headers.get('x-request-id') ?? undefined
      throw new SealfleetError('BAD_ANSWER', 'the answer is no JSON, or was cut off', {
        cause: error,
        status: response.status,
        requestId,
        retryable: true,
      })
    }
  }

  /** An answer of success, its body unread. @throws {SealfleetError}; the signal's reason */
  async send(exchange: Exchange): Promise<Response> {
    for (let tries = 0; ; tries++) {
      const outcome = await this.#try(exchange)
      if (outcome instanceof Response) return outcome
      const { error, afterMs } = outcome
      const again = error.retryable && exchange.repeatable !== false && tries < this.#retries
      if (!again || (afterMs ?? 0) > LONGEST_RETRY_AFTER_MS) throw error
      await pause(afterMs ?? backoff(tries), exchange.signal)
    }
  }

  async #try(exchange: Exchange): Promise<Response | { readonly error: SealfleetError; readonly afterMs?: number }> {
    const { method, path, query = {}, json, body, signal, limited = true } = exchange
    signal?.throwIfAborted()
    const url = new URL(path, this.#base)
    for (const [name, value] of Object.entries(query))
      if (value !== undefined) url.searchParams.set(name, String(value))
    const headers = new Headers(exchange.headers)
    headers.set('authorization', `Bearer ${typeof this.#token === 'string' ? this.#token : await this.#token()}`)
    if (json !== undefined) headers.set('content-type', 'application/json')
    const content = json !== undefined ? JSON.stringify(json) : body?.()
    const timeout = limited ? timer(this.#timeoutMs) : undefined
    const signals = [signal, timeout?.signal].filter((one) => one !== undefined)
    try {
      // A redirection would carry files, or the token, to another server.
      const init = { method, headers, redirect: 'error', signal: AbortSignal.any(signals), duplex: 'half' } as const
      const response = await this.#fetch(url, { ...init, ...(content !== undefined && { body: content }) })
      if (response.ok) return response
      const afterMs = retryAfterMs(response.headers.get('retry-after'), Date.now())
      const error = await errorOf(response)
      return { error, ...(afterMs !== undefined && { afterMs }) }
    } catch (error) {
      signal?.throwIfAborted()
      if (timeout?.signal.aborted === true)
        return { error: unreachable(`no answer in ${this.#timeoutMs} ms`, 'TIMEOUT', error) }
      return {
        error: unreachable(`the gateway at ${url.host} does not answer: ${reason(error)}`, 'UNREACHABLE', error),
      }
    } finally {
      timeout?.stop()
    }
  }
}

/** Ends with the answer's beginning: `AbortSignal.timeout` would also cut a body that is still read. */
function timer(ms: number): { readonly signal: AbortSignal; stop(): void } {
  const controller = new AbortController()
  const handle = setTimeout(() => controller.abort(), ms)
  return { signal: controller.signal, stop: () => clearTimeout(handle) }
}

function unreachable(detail: string, code: string, cause: unknown): SealfleetError {
  return new SealfleetError(code, detail, {
    cause,
    retryable: true,
    fix: 'Check baseUrl and the network, and try again: nothing is doubled.',
  })
}

/** fetch says "fetch failed", and its cause says why. */
function reason(error: unknown): string {
  const { cause, message } = error as { cause?: { code?: unknown; message?: unknown }; message?: unknown }
  return String(cause?.code ?? cause?.message ?? message)
}

function backoff(tries: number): number {
  return Math.min(LAST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** tries) * (0.5 + Math.random() / 2)
}

/** @throws the signal's reason when it aborts */
export async function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  await new Promise<void>((resolve) => {
    const wake = (): void => {
      clearTimeout(handle)
      signal?.removeEventListener('abort', wake)
      resolve()
    }
    const handle = setTimeout(wake, ms)
    signal?.addEventListener('abort', wake, { once: true })
    if (signal?.aborted === true) wake()
  })
  signal?.throwIfAborted()
}
