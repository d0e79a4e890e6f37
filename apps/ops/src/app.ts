import express, { type ErrorRequestHandler, type Express, type RequestHandler } from 'express'
import type { Logger } from '@sealfleet/telemetry'
import { answerTo } from './failure.js'
import { guardHost, guardMethod, securityHeaders } from './guards.js'
import { readiness, type HealthProbe } from '@sealfleet/runtime'

export interface AppOptions {
  /** the configured host name, trusted in the Host header */
  readonly host: string
  readonly board: RequestHandler
  /** where the board is mounted, e.g. `/queues` */
  readonly boardPath: string
  readonly probes: readonly HealthProbe[]
  /** Prometheus text */
  readonly metrics: () => Promise<string>
  /** false from the moment the process was asked to stop */
  readonly accepting: () => boolean
  readonly log: Logger
}

/**
 * The ops application: `/` leads to the board, `/healthz` says that the event loop turns, `/readyz` that Redis and
 * Postgres answer, `/metrics` what Prometheus wants. All of it read-only.
 */
export function createApp(o: AppOptions): Express {
  const app = express()
  app.disable('x-powered-by')
  app.disable('etag')
  app.use(securityHeaders, guardHost(o.host), guardMethod)
  app.get('/healthz', (_request, response) => {
    response.json({ status: 'ok' })
  })
  app.get('/readyz', async (_request, response) => {
    const state = await readiness(o.probes)
    const ready = state.ready && o.accepting()
    response.status(ready ? 200 : 503).json({ ...state, ready })
  })
  app.get('/metrics', async (_request, response) => {
    response.type('text/plain; version=0.0.4; charset=utf-8').send(await o.metrics())
  })
  app.get('/', (_request, response) => response.redirect(302, `${o.boardPath}/`))
  app.use(o.boardPath, o.board)
  app.use((_request, response) => {
    response.status(404).type('text/plain').send('not found\n')
  })
  app.use(failure(o.log))
  return app
}

function failure(log: Logger): ErrorRequestHandler {
  return (error, _request, response, next) => {
    const { status, message } = answerTo(error, log)
    if (response.headersSent) return next(error)
    response.status(status).type('text/plain').send(`${message}\n`)
  }
}
