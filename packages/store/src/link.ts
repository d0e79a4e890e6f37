/**
 * The one way to the store: an S3 client with nothing left to its environment, and a time limit on every request.
 *
 * What the SDK does of itself (versions as pinned in package.json, read in their sources):
 * - no time-outs by default; `requestTimeout` only warns without `throwOnRequestTimeout`; it ends with the answer's head,
 *   so a body that never comes needs a limit of our own;
 * - `socketTimeout` counts a reader's own pauses as the server's silence, so it is off;
 * - the connection time-out also counts waiting for a free socket of the agent, so sockets are not scarce;
 * - bodies over 2 MiB are sent with `Expect: 100-continue` over a new connection each, so that is off;
 * - retries: exponential with full jitter, a budget shared by the client, only for time-outs, throttles and 5xx.
 */
import { S3Client } from '@aws-sdk/client-s3'
import { NodeHttpHandler } from '@smithy/node-http-handler'
import { fixFor, toStoreError } from './classify.js'
import { StoreError } from './errors.js'
import type { StoreOptions } from './types.js'

const SECOND = 1000
/** The SDK never pauses longer than this between two tries. */
const LONGEST_PAUSE = 20 * SECOND

export interface RequestOptions {
  /** For errors, e.g. `put of default/…`. */
  readonly what: string
  readonly signal?: AbortSignal | undefined
  /** Length of the request's body: the limit grows with it. */
  readonly bytes?: number
}

/** What the SDK's `send` takes. */
export interface SendOptions {
  readonly abortSignal: AbortSignal
  readonly requestTimeout: number
}

export class Link implements Disposable {
  readonly client: S3Client
  readonly maxAttempts: number
  readonly inactivityTimeoutMs: number
  readonly abortTimeoutMs: number
  readonly #connectTimeoutMs: number
  readonly #requestTimeoutMs: number
  readonly #minBytesPerSecond: number

  constructor(options: StoreOptions) {
    this.maxAttempts = options.maxAttempts ?? 4
    this.inactivityTimeoutMs = options.inactivityTimeoutMs ?? 60 * SECOND
    this.abortTimeoutMs = options.abortTimeoutMs ?? 30 * SECOND
    this.#connectTimeoutMs = options.connectTimeoutMs ?? 5 * SECOND
    this.#requestTimeoutMs = options.requestTimeoutMs ?? 30 * SECOND
    this.#minBytesPerSecond = options.minBytesPerSecond ?? 256 * 1024
    this.client = createClient(options, this.maxAttempts, this.#connectTimeoutMs, this.#requestTimeoutMs)
  }

  /**
   * Sends one request, with its retries, and returns the answer. Throws the signal's reason when it is aborted, else a
   * StoreError; S3_TIMEOUT when all tries together take longer than they may.
   */
  async request<T>(options: RequestOptions, send: (client: S3Client, options: SendOptions) => Promise<T>): Promise<T> {
    const { what, signal, bytes = 0 } = options
    signal?.throwIfAborted()
    const requestTimeout = this.#requestTimeoutMs + Math.ceil((bytes / this.#minBytesPerSecond) * SECOND)
    const limit = this.maxAttempts * (this.#connectTimeoutMs + requestTimeout + LONGEST_PAUSE)
    const stop = new AbortController()
    const onAbort = () => stop.abort()
    signal?.addEventListener('abort', onAbort, { once: true })
    let late = false
    const timer = setTimeout(() => {
      late = true
      stop.abort()
    }, limit)
    try {
      return await send(this.client, { abortSignal: stop.signal, requestTimeout })
    } catch (error) {
      signal?.throwIfAborted()
      if (late) throw timeout(`${what}: no answer within ${limit} ms`, error)
      throw toStoreError(error, what)
    } finally {
      clearTimeout(timer)
      signal?.removeEventListener('abort', onAbort)
    }
  }

  [Symbol.dispose](): void {
    this.client.destroy()
  }
}

export function timeout(message: string, cause?: unknown): StoreError {
  const last = cause === undefined ? undefined : toStoreError(cause, 'the last error').cause
  return new StoreError('S3_TIMEOUT', message, { fix: fixFor('S3_TIMEOUT'), cause: last })
}

function createClient(
  options: StoreOptions,
  maxAttempts: number,
  connectTimeout: number,
  requestTimeout: number,
): S3Client {
  // Else the SDK tells every user on Node 20, on standard error, what they can't change; engines and CI tell us.
  process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] ??= 'true'
  const agent = { keepAlive: true, maxSockets: 1024 }
  const client = new S3Client({
    region: options.region,
    ...(options.endpoint !== undefined && { endpoint: options.endpoint }),
    forcePathStyle: options.forcePathStyle ?? options.endpoint !== undefined,
    credentials: {
      accessKeyId: options.accessKeyId,
      secretAccessKey: options.secretAccessKey,
      ...(options.sessionToken !== undefined && { sessionToken: options.sessionToken }),
    },
    maxAttempts,
    retryMode: 'standard',
    // A CRC-32 with every body: native and cheap. Answers of ranges have none; the sealed format authenticates them.
    requestChecksumCalculation: 'WHEN_SUPPORTED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    expectContinueHeader: false,
    // Given, so that no AWS_* variable and no file below ~/.aws changes them.
    defaultsMode: 'standard',
    useDualstackEndpoint: false,
    useFipsEndpoint: false,
    userAgentAppId: 'sealfleet',
    requestHandler: new NodeHttpHandler({
      connectionTimeout: connectTimeout,
      requestTimeout,
      throwOnRequestTimeout: true,
      socketTimeout: 0,
      httpAgent: agent,
      httpsAgent: agent,
    }),
  })
  const tls = options.endpoint === undefined || options.endpoint.startsWith('https:')
  if (options.unsignedPayload === true && tls) leaveBodiesUnsigned(client)
  return client
}

/** The signer takes a payload hash that is there already (`getPayloadHash` of @smithy/signature-v4). */
function leaveBodiesUnsigned(client: S3Client): void {
  client.middlewareStack.add(
    (next, context) => async (args) => {
      const request = args.request as { headers?: Record<string, string> } | undefined
      const hasBody = context.commandName === 'PutObjectCommand' || context.commandName === 'UploadPartCommand'
      if (request?.headers && hasBody) request.headers['x-amz-content-sha256'] = 'UNSIGNED-PAYLOAD'
      return await next(args)
    },
    { step: 'build', name: 'unsignedPayload' },
  )
}
