import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import type { KeyPair } from './certificates.js'

/** TLS in front of a server without it: decrypted bytes go to the server unchanged. */
export interface TlsGate extends AsyncDisposable {
  readonly port: number
  /** `url` with this gate's address, under the host name that a client shall use */
  address(url: string, scheme?: string, host?: string): string
}

export interface TlsGateOptions {
  readonly server: KeyPair
  /** PEM; clients must show a certificate of this authority */
  readonly clientCa?: string
  /** PostgreSQL's way: the client requests TLS in plaintext, and the server answers S */
  readonly startTls?: boolean
}

/** PostgreSQL's SSLRequest: a length of 8, then 80877103. */
const SSL_REQUEST = Buffer.from([0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f])

export async function startTlsGate(target: string, options: TlsGateOptions): Promise<TlsGate> {
  const { server: pair, clientCa, startTls = false } = options
  const { hostname, port } = new URL(target)
  const open = new Set<Socket>()
  const keep = (socket: Socket): void => {
    open.add(socket)
    socket.on('close', () => open.delete(socket))
    socket.on('error', () => socket.destroy())
  }
  const client = clientCa === undefined ? {} : { ca: clientCa, requestCert: true, rejectUnauthorized: true }
  // Never listens: it receives connections that are ready for a handshake.
  const secured = createTlsServer({ cert: pair.cert, key: pair.key, ...client }, (tls) => {
    const upstream = connect(Number(port), hostname)
    for (const socket of [tls, upstream]) keep(socket)
    tls.on('close', () => upstream.destroy())
    upstream.on('close', () => tls.destroy())
    tls.pipe(upstream).pipe(tls)
  })
  const server = createServer((socket) => {
    keep(socket)
    if (!startTls) return void secured.emit('connection', socket)
    socket.once('data', (first: Buffer) => {
      if (!first.equals(SSL_REQUEST)) return void socket.destroy()
      socket.write('S')
      secured.emit('connection', socket)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const own = (server.address() as AddressInfo).port
  return {
    port: own,
    address(url, scheme, host = 'localhost') {
      const gated = url.replace(/^[a-z0-9]+:/, (given) => (scheme === undefined ? given : `${scheme}:`))
      const there = new URL(gated)
      there.hostname = host
      there.port = String(own)
      return there.href
    },
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}
