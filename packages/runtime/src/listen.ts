import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface ListeningServer {
  readonly port: number
  /** Accepts no new connections, lets running requests end within the grace, then closes. */
  close(): Promise<void>
}

export interface ListenOptions {
  /** Milliseconds for a whole request to arrive. */
  readonly requestTimeoutMs: number
  /** Milliseconds for running requests at the close. */
  readonly graceMs: number
}

/** Resolves when an HTTP server listens; rejects with the reason (EADDRINUSE, …) when it can't. */
export async function listen(
  handler: RequestListener,
  host: string,
  port: number,
  { requestTimeoutMs, graceMs }: ListenOptions,
): Promise<ListeningServer> {
  const server = createServer(handler)
  server.requestTimeout = requestTimeoutMs
  server.headersTimeout = Math.min(10_000, requestTimeoutMs)
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
        const limit = setTimeout(() => server.closeAllConnections(), graceMs)
        server.close(() => {
          clearTimeout(limit)
          resolve()
        })
        server.closeIdleConnections()
      }),
  }
}
