/**
 * An HTTP proxy before a real S3 server that applies faults of networks and servers to chosen requests: resets, errors,
 * silence, answers that get lost after the store has acted. It forwards all other requests unchanged, signatures
 * included.
 */
import { once } from 'node:events'
import { createServer, request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http'

export type S3Operation =
  | 'CreateMultipartUpload'
  | 'UploadPart'
  | 'CompleteMultipartUpload'
  | 'AbortMultipartUpload'
  | 'ListMultipartUploads'
  | 'PutObject'
  | 'HeadObject'
  | 'GetObject'
  | 'DeleteObject'
  | 'Other'

export type Fault =
  /** The connection breaks before the request reaches the store. */
  | { readonly kind: 'reset' }
  /** The store gets no request; this is the answer. */
  | { readonly kind: 'status'; readonly status: number; readonly code: string }
  /** The store acts, and its answer is lost with the connection. */
  | { readonly kind: 'lose-answer' }
  /** The request is read and never answered. */
  | { readonly kind: 'silence' }
  /** The store gets a wrong signature, as from a client with another secret. */
  | { readonly kind: 'wrong-signature' }
  /** The store acts, and its answer comes this many milliseconds later. */
  | { readonly kind: 'delay'; readonly ms: number }
  /** The answer's body stops after this many bytes, by a broken connection or forever. */
  | { readonly kind: 'cut-body' | 'stall-body'; readonly after: number }

export interface SeenRequest {
  readonly operation: S3Operation
  /** Bucket and key, as in the request's line: percent-encoded, with a slash before. */
  readonly path: string
  readonly partNumber: number | undefined
  readonly headers: IncomingMessage['headers']
}

interface Rule {
  readonly operation: S3Operation | 'any'
  readonly fault: Fault
  times: number
  readonly when: (seen: SeenRequest) => boolean
}

export interface FaultProxy extends AsyncDisposable {
  readonly endpoint: string
  /** Every request received, in order, faulty or not. */
  readonly seen: readonly SeenRequest[]
  /** From now on, the next `times` (default: all) requests of that kind meet the fault. */
  inject(
    operation: S3Operation | 'any',
    fault: Fault,
    options?: { times?: number; when?: (seen: SeenRequest) => boolean },
  ): void
  heal(): void
  /** Resets the proxy: no faults, and no requests seen. */
  reset(): void
  /** Resolves when the n-th request of that kind has come, even if it came before. */
  arrival(operation: S3Operation, n?: number): Promise<void>
}

export interface FaultProxyOptions {
  /**
   * Receives every whole body of a PUT that was passed on to the store, in the order of their ends. Then requests are
   * not kept in `seen`: this is for proxies that live long.
   */
  readonly onBody?: (seen: SeenRequest, body: Buffer) => void
}

export async function startFaultProxy(upstream: string, options: FaultProxyOptions = {}): Promise<FaultProxy> {
  const target = new URL(upstream)
  const seen: SeenRequest[] = []
  let rules: Rule[] = []
  let waiting: { operation: S3Operation; n: number; resolve: () => void }[] = []
  const count = (operation: S3Operation) => seen.filter((one) => one.operation === operation).length

  const server = createServer((incoming, answer) => {
    const one = describe(incoming)
    if (options.onBody === undefined) seen.push(one)
    waiting = waiting.filter(({ operation, n, resolve }) => {
      if (count(operation) < n) return true
      resolve()
      return false
    })
    const rule = rules.find(
      (r) => r.times > 0 && (r.operation === 'any' || r.operation === one.operation) && r.when(one),
    )
    if (rule) rule.times--
    if (options.onBody && incoming.method === 'PUT') tap(incoming, (body) => options.onBody?.(one, body))
    handle(target, incoming, answer, rule?.fault)
  })
  server.keepAliveTimeout = 60_000
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')

  return {
    endpoint: `http://127.0.0.1:${address.port}`,
    seen,
    inject: (operation, fault, { times = Infinity, when = () => true } = {}) => {
      rules.push({ operation, fault, times, when })
    },
    heal: () => {
      rules = []
    },
    reset: () => {
      rules = []
      waiting = []
      seen.length = 0
    },
    arrival: (operation, n = 1) =>
      new Promise((resolve) => {
        if (count(operation) >= n) resolve()
        else waiting.push({ operation, n, resolve })
      }),
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

/** Reads the body while it is forwarded. */
function tap(incoming: IncomingMessage, onBody: (body: Buffer) => void): void {
  const chunks: Buffer[] = []
  incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
  incoming.once('end', () => onBody(Buffer.concat(chunks)))
}

function handle(target: URL, incoming: IncomingMessage, answer: ServerResponse, fault: Fault | undefined): void {
  if (fault?.kind === 'reset') {
    incoming.socket.resetAndDestroy()
  } else if (fault?.kind === 'silence') {
    incoming.resume()
  } else if (fault?.kind === 'status') {
    incoming.resume()
    incoming.once('end', () => {
      answer.writeHead(fault.status, { 'content-type': 'application/xml' })
      answer.end(`<?xml version="1.0"?><Error><Code>${fault.code}</Code><Message>injected</Message></Error>`)
    })
  } else {
    forward(target, incoming, answer, fault)
  }
}

function forward(target: URL, incoming: IncomingMessage, answer: ServerResponse, fault: Fault | undefined): void {
  const { hostname, port } = target
  // The host header stays the client's: it is signed.
  const { method, url: path } = incoming
  const { authorization } = incoming.headers
  const forged = fault?.kind === 'wrong-signature' && authorization !== undefined
  const headers = forged ? { ...incoming.headers, authorization: forge(authorization) } : incoming.headers
  const outgoing = httpRequest({ hostname, port, method, path, headers, agent: false }, (reply) => {
    if (fault?.kind === 'lose-answer') {
      reply.resume()
      reply.once('end', () => incoming.socket.resetAndDestroy())
      return
    }
    answer.writeHead(reply.statusCode ?? 502, reply.headers)
    if (fault?.kind === 'cut-body' || fault?.kind === 'stall-body') passPart(reply, answer, fault)
    else if (fault?.kind === 'delay') setTimeout(() => reply.pipe(answer), fault.ms)
    else reply.pipe(answer)
  })
  outgoing.on('error', () => incoming.socket.destroy())
  incoming.pipe(outgoing)
  answer.on('close', () => {
    if (!answer.writableFinished) outgoing.destroy()
  })
}

/** Changes the last digit. */
function forge(authorization: string): string {
  return authorization.replace(/.$/, (last) => (last === '0' ? '1' : '0'))
}

function passPart(reply: IncomingMessage, answer: ServerResponse, fault: Fault & { after: number }): void {
  let left = fault.after
  answer.flushHeaders()
  reply.on('data', (chunk: Buffer) => {
    if (left === 0) {
      if (fault.kind === 'cut-body') answer.socket?.destroy()
      return
    }
    const piece = chunk.subarray(0, left)
    left -= piece.length
    answer.write(piece, () => {
      if (left === 0 && fault.kind === 'cut-body') answer.socket?.destroy()
    })
  })
}

function describe({ method, url, headers }: IncomingMessage): SeenRequest {
  const { searchParams: query, pathname: path } = new URL(url ?? '/', 'http://proxy')
  const partNumber = query.has('partNumber') ? Number(query.get('partNumber')) : undefined
  return { operation: operationOf(method, query), path, partNumber, headers }
}

function operationOf(method: string | undefined, query: URLSearchParams): S3Operation {
  const upload = query.has('uploadId')
  if (method === 'POST' && query.has('uploads')) return 'CreateMultipartUpload'
  if (method === 'POST' && upload) return 'CompleteMultipartUpload'
  if (method === 'PUT') return upload ? 'UploadPart' : 'PutObject'
  if (method === 'DELETE') return upload ? 'AbortMultipartUpload' : 'DeleteObject'
  if (method === 'HEAD') return 'HeadObject'
  if (method === 'GET' && query.has('uploads')) return 'ListMultipartUploads'
  if (method === 'GET' && !query.has('list-type') && !query.has('versions')) return 'GetObject'
  return 'Other'
}
