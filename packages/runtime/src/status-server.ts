import type { RequestListener } from 'node:http'

import { listen, type ListeningServer } from './listen.js'

/** A worker's status, served over HTTP. */
export interface WorkerStatus {
  /** Whether new jobs are taken: false while starting and while draining. */
  readonly ready: () => boolean
  /** Why it is not ready: lines for people. */
  readonly reason?: () => string
  /** False when the work is stuck; the event loop still runs, since it answers. Default: true. */
  readonly alive?: () => boolean
  /** Prometheus text. */
  readonly metrics: () => Promise<string>
}

/**
 * `/healthz` (the event loop runs, and work progresses), `/readyz` (jobs are taken) and `/metrics`, on one address.
 * Resolves when it listens; close it before the process ends. Reads only the path of a request.
 */
export async function startStatusServer(host: string, port: number, status: WorkerStatus): Promise<ListeningServer> {
  const handler: RequestListener = (request, response) => {
    const answer = (code: number, body: string): void => {
      response.writeHead(code, { 'content-type': 'text/plain; charset=utf-8', 'x-content-type-options': 'nosniff' })
      response.end(body)
    }
    switch (request.url) {
      case '/healthz':
        return status.alive?.() === false ? answer(503, 'nothing moves\n') : answer(200, 'ok\n')
      case '/readyz':
        return status.ready() ? answer(200, 'ready\n') : answer(503, `${status.reason?.() || 'not ready'}\n`)
      case '/metrics':
        status.metrics().then(
          (text) => answer(200, text),
          () => answer(500, 'metrics could not be read\n'),
        )
        return
      default:
        return answer(404, 'not found\n')
    }
  }
  return await listen(handler, host, port, { requestTimeoutMs: 5_000, graceMs: 0 })
}
