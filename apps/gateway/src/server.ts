import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import { randomUUID } from 'node:crypto'
import type { Socket } from 'node:net'
import { readiness } from '@sealfleet/runtime'
import { authenticate, type Caller } from './access.js'
import { Budget } from './budget.js'
import { openApi } from './openapi.js'
import { Problem, toProblem } from './problem.js'
import type { Answer, Method, Route } from './route.js'
import { ROUTES } from './routes/index.js'
import { object, type Schema } from './schemas.js'
import { sendContent } from './send-content.js'
import type { Services } from './services.js'
import { compile, sentence } from './validate.js'

/** A whole request has arrived within this time, its headers within the second. */
const REQUEST_MS = 60_000
const HEADERS_MS = 10_000
const HEADER_BYTES = 16_384
/** Refused tokens a second from one address; each costs a look at the database. */
const REFUSALS_PER_SECOND = 20
const METHODS: readonly (Method | 'PATCH' | 'OPTIONS')[] = ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS']

/** Headers of which two are two meanings: a proxy and we could each take another one. */
const SINGLE = new Set([
  ...['authorization', 'content-type', 'content-length', 'host', 'idempotency-key', 'x-request-id'],
  ...['range', 'if-range', 'if-none-match', 'transfer-encoding'],
])

declare module 'fastify' {
  interface FastifyRequest {
    caller?: Caller
    /** Aborts when the client has gone before its answer. */
    gone?: AbortSignal
    /** The code of the problem that was answered, for the log. */
    problem?: string | undefined
    sentBytes?: number
  }
}

/** The HTTP server with every route; it does not listen yet. */
export function createServer(services: Services): FastifyInstance {
  const { limits, log, metrics } = services
  const app = Fastify({
    logger: false,
    bodyLimit: limits.bodyLimit,
    requestTimeout: REQUEST_MS,
    connectionTimeout: 0,
    keepAliveTimeout: 30_000,
    forceCloseConnections: 'idle',
    exposeHeadRoutes: false,
    routerOptions: { maxParamLength: 3_072, ignoreTrailingSlash: false, caseSensitive: true },
    http: { maxHeaderSize: HEADER_BYTES, headersTimeout: HEADERS_MS, connectionsCheckingInterval: 1_000 },
    genReqId: ({ headers }) => requestId(headers['x-request-id']),
    clientErrorHandler: refuseConnection,
    frameworkErrors: (error, request, reply) => void answerProblem(request, reply, error),
    schemaErrorFormatter: (errors, where) => {
      const known = where === 'body' ? 'PAYLOAD_INVALID' : 'BAD_REQUEST'
      return new Problem(known, sentence(errors[0], where === 'querystring' ? 'query' : where))
    },
  })
  app.server.maxHeadersCount = 100
  // JSON alone: a body of another type is no text to be guessed at.
  app.removeContentTypeParser('text/plain')
  app.setValidatorCompiler(({ schema, httpPart }) => compile(schema as Schema, httpPart === 'body' ? 'json' : 'texts'))

  const requests = new Budget(limits.requestsPerSecond, 2 * limits.requestsPerSecond)
  const bytes = new Budget(limits.bytesPerSecond, 2 * limits.bytesPerSecond)
  const refusals = new Budget(REFUSALS_PER_SECOND, 2 * REFUSALS_PER_SECOND)
  const reads = { open: 0 }

  const answerProblem = (request: FastifyRequest, reply: FastifyReply, error: unknown): FastifyReply => {
    const problem = toProblem(error)
    request.problem = problem.code
    if (problem.status >= 500)
      log.error({ requestId: request.id, code: problem.code, err: error }, 'a request could not be answered')
    // A buffer, here and below: Fastify adds a charset to texts, which JSON has none of.
    return reply
      .code(problem.status)
      .headers({ 'x-request-id': request.id, ...problem.headers })
      .header('content-type', 'application/problem+json')
      .send(Buffer.from(JSON.stringify(problem.body(request.id))))
  }
  app.setErrorHandler((error, request, reply) => answerProblem(request, reply, error))
  app.setNotFoundHandler((request, reply) => answerProblem(request, reply, new Problem('ROUTE_UNKNOWN')))

  app.addHook('onRequest', async (request, reply) => {
    metrics.gatewayOpen.inc()
    void reply.headers({ 'x-request-id': request.id, 'x-content-type-options': 'nosniff', 'cache-control': 'no-store' })
    const gone = new AbortController()
    request.gone = gone.signal
    reply.raw.once('close', () => {
      if (!reply.raw.writableFinished) gone.abort(new Error('the client has gone'))
    })
    const twice = repeated(request.raw.rawHeaders)
    if (twice !== undefined) throw new Problem('BAD_REQUEST', `the header ${twice} is there twice`)
  })

  app.addHook('onResponse', async (request, reply) => {
    // A request that Fastify refuses before its hooks was not counted.
    if (request.gone !== undefined) metrics.gatewayOpen.dec()
    const operation = request.routeOptions.config.operation ?? 'none'
    const seconds = reply.elapsedTime / 1_000
    metrics.gatewayRequests.inc({ operation, status: String(reply.statusCode) })
    metrics.gatewaySeconds.observe({ operation }, seconds)
    const line = {
      requestId: request.id,
      operation,
      httpStatus: reply.statusCode,
      durationMs: Math.round(reply.elapsedTime),
    }
    const who = { apiToken: request.caller?.token.id, code: request.problem, bytes: request.sentBytes }
    if (request.routeOptions.config.operation !== undefined || request.problem !== undefined)
      log.info({ ...line, ...who }, 'request')
  })

  /** The one gate of every operation: who it is, how much is left, whether the scope is there. */
  const admit = (route: Route) => async (request: FastifyRequest) => {
    const wait = (budget: Budget, caller: string): void => {
      const seconds = budget.waitOf(caller)
      if (seconds > 0) throw new Problem('RATE_LIMITED', undefined, { headers: { 'retry-after': String(seconds) } })
    }
    wait(refusals, request.ip)
    try {
      request.caller = await authenticate(services.records, request.headers.authorization)
    } catch (error) {
      if (error instanceof Problem) refusals.take(request.ip, 1)
      throw error
    }
    const { id } = request.caller.token
    wait(requests, id)
    wait(bytes, id)
    requests.take(id, 1)
    request.caller.require(route.scope)
    bytes.take(id, Number(request.headers['content-length'] ?? 0))
  }

  for (const route of ROUTES) {
    const { query, required = [], headers, body, enforced } = route
    const optional = Object.keys(query ?? {}).filter((name) => !required.includes(name))
    app.route({
      method: route.method,
      url: fastifyPath(route.path),
      config: { operation: route.operation },
      schema: {
        querystring: object(query ?? {}, optional),
        ...(body !== undefined && { body: enforced ?? body }),
        ...(headers !== undefined && { headers: headerSchema(headers) }),
      },
      onRequest: admit(route),
      handler: async (request, reply) => {
        const { caller, gone: signal } = request
        if (caller === undefined || signal === undefined) throw new TypeError('a request is admitted first')
        const isRead = route.operation === 'getContent' || route.operation === 'verifyFile'
        if (isRead && reads.open >= limits.readsAtOnce) throw new Problem('BUSY')
        if (isRead) reads.open += 1
        try {
          const answer = await route.handle(
            {
              ...{ caller, requestId: request.id, signal, body: request.body },
              params: request.params as Record<string, string>,
              query: request.query as Record<string, string | number>,
              headers: request.headers as Record<string, string>,
            },
            services,
          )
          await respond(answer, request, reply)
        } finally {
          if (isRead) reads.open -= 1
        }
        return reply
      },
    })
  }

  async function respond(answer: Answer, request: FastifyRequest, reply: FastifyReply): Promise<void> {
    void reply.code(answer.status).headers(answer.headers ?? {})
    if ('body' in answer)
      return void reply.header('content-type', 'application/json').send(Buffer.from(JSON.stringify(answer.body)))
    if (answer.content === null) return void reply.send()
    const { id } = request.caller?.token ?? { id: '' }
    const onSent = (count: number): void => {
      bytes.take(id, count)
      metrics.gatewaySentBytes.inc(count)
      request.sentBytes = (request.sentBytes ?? 0) + count
    }
    const how = { actor: request.caller?.actor ?? '', requestId: request.id, onSent, signal: request.gone }
    request.problem = await sendContent(answer.content, reply, services, how)
  }

  openRoutes(app, services)
  refuseOtherMethods(app, answerProblem)
  return app
}

/** What asks for no token: the document, health and metrics. */
function openRoutes(app: FastifyInstance, services: Services): void {
  const document = JSON.stringify(openApi(ROUTES))
  app.get('/openapi.json', (_request, reply) => reply.type('application/json').send(document))
  const alive = (_request: FastifyRequest, reply: FastifyReply) =>
    reply.type('application/json').send('{"status":"ok"}')
  app.get('/livez', alive)
  app.get('/healthz', alive)
  app.get('/readyz', async (_request, reply) => {
    const state = await readiness(services.probes)
    // Without the store or the HSM files are still accepted: such a gateway must not be taken out.
    const needed = ['postgres', 'redis', 'fleet'].every((name) => state.checks[name] === 'ok')
    const ready = needed && services.accepting()
    return reply.code(ready ? 200 : 503).send({ ...state, ready })
  })
  app.get('/metrics', async (_request, reply) =>
    reply.type('text/plain; version=0.0.4; charset=utf-8').send(await services.metricsText()),
  )
}

const OPEN = ['/openapi.json', '/livez', '/healthz', '/readyz', '/metrics']

/** A method that an address does not have is 405 with those that it has, not 404. */
function refuseOtherMethods(
  app: FastifyInstance,
  answerProblem: (request: FastifyRequest, reply: FastifyReply, error: unknown) => FastifyReply,
): void {
  const paths = new Map<string, string[]>(OPEN.map((path) => [path, ['GET']]))
  for (const { path, method } of ROUTES) paths.set(path, [...(paths.get(path) ?? []), method])
  for (const [path, known] of paths) {
    const problem = () => new Problem('METHOD_NOT_ALLOWED', undefined, { headers: { allow: known.join(', ') } })
    app.route({
      method: METHODS.filter((method) => !known.includes(method)),
      url: fastifyPath(path),
      // Before the body is read, whatever its type.
      onRequest: (request, reply) => void answerProblem(request, reply, problem()),
      handler: () => undefined,
    })
  }
}

function fastifyPath(path: string): string {
  return path.replaceAll(/\{(\w+)\}/g, ':$1')
}

/** Headers come in lower case, and others are not ours to refuse. */
function headerSchema(headers: Readonly<Record<string, Schema>>): Schema {
  const properties = Object.entries(headers).map(([name, schema]) => [name.toLowerCase(), schema] as const)
  return { type: 'object', properties: Object.fromEntries(properties) }
}

/** The caller's own id if it is a UUID, which logs can hold; otherwise one of ours. */
function requestId(given: string | string[] | undefined): string {
  const id = typeof given === 'string' ? given.toLowerCase() : ''
  return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(id) ? id : randomUUID()
}

function repeated(rawHeaders: readonly string[]): string | undefined {
  const seen = new Set<string>()
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = (rawHeaders[at] ?? '').toLowerCase()
    if (SINGLE.has(name) && seen.has(name)) return name
    seen.add(name)
  }
  return undefined
}

/** What Node's parser refuses has no request: the answer is written by hand, and the connection closed. */
function refuseConnection(error: Error & { readonly code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) return void socket.destroy()
  const problem = new Problem(
    error.code === 'HPE_HEADER_OVERFLOW'
      ? 'HEADERS_TOO_LARGE'
      : error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
        ? 'REQUEST_TIMEOUT'
        : 'BAD_REQUEST',
  )
  const id = randomUUID()
  const body = JSON.stringify(problem.body(id))
  const head = [
    `HTTP/1.1 ${problem.status} ${problem.code}`,
    'content-type: application/problem+json',
    `content-length: ${Buffer.byteLength(body)}`,
    `x-request-id: ${id}`,
    'connection: close',
  ]
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`)
}
