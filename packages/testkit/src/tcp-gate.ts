import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'

/**
 * A TCP port before a real server that can be closed and opened: to its clients it looks like a server that was stopped
 * and started again, while all other connections to the shared server stay.
 */
export interface TcpGate extends AsyncDisposable {
  readonly port: number
  /** The server's address with the gate's host and port in it. */
  readonly url: string
  /** Breaks every connection; new ones are refused. Resolves when this is done. */
  shut(): Promise<void>
  /** Lets connections through again, on the same port. */
  open(): Promise<void>
}

/**
 * @param upstream a URL with host and port; its path and credentials are kept
 * @param port to listen at, below those of outgoing connections (tools/lib/ports.mjs): while the gate is shut, a client that
 *   tries to connect could otherwise be given that very port for its own end, be connected to itself, and keep the gate shut
 */
export async function startTcpGate(upstream: string, port: number): Promise<TcpGate> {
  const target = new URL(upstream)
  const sockets = new Set<Socket>()
  const server = createServer((inner) => {
    const outer = connect(Number(target.port), target.hostname)
    for (const [socket, other] of [
      [inner, outer],
      [outer, inner],
    ] as const) {
      sockets.add(socket)
      // The end of one side ends the other; the client sees the error itself.
      socket.on('error', () => other.destroy())
      socket.on('close', () => {
        sockets.delete(socket)
        other.destroy()
      })
      socket.pipe(other)
    }
  })
  const listen = async (): Promise<void> => {
    server.listen(port, '127.0.0.1')
    await once(server, 'listening')
  }
  await listen()
  const url = new URL(upstream)
  url.host = `127.0.0.1:${port}`
  const shut = async (): Promise<void> => {
    if (!server.listening) return
    const closed = once(server, 'close')
    server.close()
    for (const socket of sockets) socket.destroy()
    await closed
  }
  return {
    port,
    url: url.href,
    shut,
    open: async () => {
      if (!server.listening) await listen()
    },
    [Symbol.asyncDispose]: shut,
  }
}
