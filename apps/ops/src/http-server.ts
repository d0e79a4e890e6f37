import type { Express } from 'express'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface ListeningServer {
  readonly port: number
  /** Accepts no new connections, lets running requests end (for 5 s at most), then closes. */
  close(): Promise<void>
}

const GRACE_MS = 5_000

/** Resolves when it listens; rejects with the reason (EADDRINUSE, …) when it can't. */
export async function listen(app: Express, host: string, port: number): Promise<ListeningServer> {
  const server = createServer(app)
  server.requestTimeout = 15_000
  server.headersTimeout = 10_000
  server.keepAliveTimeout = 5_000
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, () => {
      server.off('error', reject)
      resolve()
    })
  })
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        const limit = setTimeout(() => server.closeAllConnections(), GRACE_MS)
        server.close(() => {
          clearTimeout(limit)
          resolve()
        })
        server.closeIdleConnections()
      }),
  }
}
