/**
 * The only way to the store: an S3 client that takes nothing from its environment, and a time limit on every request.
 *
 * The SDK's own behaviour (versions as pinned in package.json, read in their sources):
 * - no time-outs by default; `requestTimeout` only warns without `throwOnRequestTimeout`; it ends with the answer's
 *   head, so a missing body needs a limit of our own;
 * - `socketTimeout` counts a reader's own pauses as the server's silence, so it is off;
 * - the connection time-out also counts waiting for a free socket of the agent, so sockets are not scarce;
 * - bodies over 2 MiB are sent with `Expect: 100-continue` over a new connection each, so that is off;
 * - retries: exponential with full jitter, a budget shared by the client, only for time-outs, throttles and 5xx.
 */
import { S3Client } from '@aws-sdk/client-s3'
import { NodeHttpHandler } from '@smithy/node-http-handler'
import { fixFor, toStoreError } from './classify.js'
import { StoreError } from './errors.js'
import { PlainPut, type SendOptions } from './plain-put.js'
import { UnresponsiveMonitor } from './unresponsive.js'
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

export class S3Connection implements Disposable {
  readonly client: S3Client
  /** Undefined: every put is the SDK's. */
  readonly plainPut: PlainPut | undefined
  readonly maxAttempts: number
  readonly checksums: 'when-supported' | 'when-required'
  readonly inactivityTimeoutMs: number
  readonly abortTimeoutMs: number
  /** Undefined: no limit for the answer. */
  readonly giveUpAfterMs: number
  readonly silence: UnresponsiveMonitor
  readonly #connectTimeoutMs: number
  readonly #requestTimeoutMs: number
  readonly #minBytesPerSecond: number

  constructor(options: StoreOptions) {
    this.maxAttempts = options.maxAttempts ?? 4
    this.checksums = options.checksums ?? 'when-supported'
    this.giveUpAfterMs = options.giveUpAfterMs ?? Infinity
    this.silence = new UnresponsiveMonitor(options.silenceAfterMs ?? 5 * SECOND, options.onSilence)
    // With a limit for the answer, at least two tries fit into it: one connection may be dead, and another not.
    const oneTry = this.giveUpAfterMs / 2
    this.abortTimeoutMs = Math.min(options.abortTimeoutMs ?? 30 * SECOND, oneTry)
    this.inactivityTimeoutMs = Math.min(options.inactivityTimeoutMs ?? 60 * SECOND, oneTry)
    this.#connectTimeoutMs = options.connectTimeoutMs ?? 5 * SECOND
    this.#requestTimeoutMs = Math.min(options.requestTimeoutMs ?? 30 * SECOND, oneTry)
    this.#minBytesPerSecond = options.minBytesPerSecond ?? 256 * 1024
    const handler = createHandler(options, this.#connectTimeoutMs, this.#requestTimeoutMs)
    this.client = createClient(options, this.maxAttempts, handler)
    const { endpoint, forcePathStyle = true } = options
    if (endpoint !== undefined && forcePathStyle && this.maxAttempts > 1)
      this.plainPut = new PlainPut({ ...options, endpoint }, handler, () => this.client.config.systemClockOffset)
  }

  /**
   * Sends one request, with its retries, and returns the answer. Throws the signal's reason when it is aborted, else a
   * StoreError; S3_TIMEOUT when all tries together take longer than allowed.
   */
  async request<T>(options: RequestOptions, send: (client: S3Client, options: SendOptions) => Promise<T>): Promise<T> {
    const { what, signal, bytes = 0 } = options
    signal?.throwIfAborted()
    const forBody = Math.ceil((bytes / this.#minBytesPerSecond) * SECOND)
    const requestTimeout = this.#requestTimeoutMs + forBody
    const allTries = this.maxAttempts * (this.#connectTimeoutMs + requestTimeout + LONGEST_PAUSE)
    const limit = Math.min(allTries, this.giveUpAfterMs + 2 * forBody)
    const stop = new AbortController()
    const onAbort = () => stop.abort()
    signal?.addEventListener('abort', onAbort, { once: true })
    let late = false
    const timer = setTimeout(() => {
      late = true
      stop.abort()
    }, limit)
    // Pauses between tries are short unless the store asks for longer ones: the tries take the time.
    const question = this.silence.ask(what, Math.min(limit, this.maxAttempts * requestTimeout))
    try {
      const answer = await send(this.client, { abortSignal: stop.signal, requestTimeout })
      question.end('answer')
      return answer
    } catch (error) {
      if (isAnswer(error)) question.end('answer')
      signal?.throwIfAborted()
      if (late) throw timeout(`${what}: no answer within ${limit} ms`, error)
      throw toStoreError(error, what)
    } finally {
      question.end('nothing')
      clearTimeout(timer)
      signal?.removeEventListener('abort', onAbort)
    }
  }

  [Symbol.dispose](): void {
    this.silence[Symbol.dispose]()
    this.client.destroy()
  }
}

/** A refusal is an answer too. */
function isAnswer(error: unknown): boolean {
  const status = (error as { readonly $metadata?: { readonly httpStatusCode?: unknown } } | null)?.$metadata
  return typeof status?.httpStatusCode === 'number'
}

export function timeout(message: string, cause?: unknown): StoreError {
  const last = cause === undefined ? undefined : toStoreError(cause, 'the last error').cause
  return new StoreError('S3_TIMEOUT', message, { fix: fixFor('S3_TIMEOUT'), cause: last })
}

function createHandler(options: StoreOptions, connectionTimeout: number, requestTimeout: number): NodeHttpHandler {
  const agent = { keepAlive: true, maxSockets: 1024 }
  return new NodeHttpHandler({
    connectionTimeout,
    requestTimeout,
    throwOnRequestTimeout: true,
    socketTimeout: 0,
    httpAgent: agent,
    httpsAgent: { ...agent, ...options.tls },
  })
}

function createClient(options: StoreOptions, maxAttempts: number, requestHandler: NodeHttpHandler): S3Client {
  // Otherwise the SDK prints a warning about Node 20 on standard error, which users cannot act on; engines and CI cover
  // it.
  process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] ??= 'true'
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
    requestChecksumCalculation: options.checksums === 'when-required' ? 'WHEN_REQUIRED' : 'WHEN_SUPPORTED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    expectContinueHeader: false,
    // Given explicitly, so that no AWS_* variable and no file below ~/.aws changes them.
    defaultsMode: 'standard',
    useDualstackEndpoint: false,
    useFipsEndpoint: false,
    userAgentAppId: 'sealfleet',
    requestHandler,
  })
  const tls = options.endpoint === undefined || options.endpoint.startsWith('https:')
  if (options.unsignedPayload === true && tls) leaveBodiesUnsigned(client)
  return client
}

/** The signer accepts a payload hash that is already computed (`getPayloadHash` of @smithy/signature-v4). */
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
