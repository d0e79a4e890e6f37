import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'

/** ReadyForQuery, idle: the statement is over, and its transaction with it. */
const READY = Buffer.from([0x5a, 0, 0, 0, 5, 0x49])

/** The statement that commits an attempt; in no other statement's text (packages/records, commit-attempt). */
export const COMMIT_STATEMENT = 'committed_attempt_id = c.id'

/** A TCP port before a real Postgres that can lose one answer, and forwards everything else as it is. */
export interface StatementProxy extends AsyncDisposable {
  readonly port: number
  /** The server's address with the proxy's host and port in it. */
  readonly url: string
  /**
   * The next statement with this text reaches the server and is carried out to its end; then its client's connection
   * breaks, without a byte of the answer.
   */
  loseAnswerOf(text: string): void
  /** Takes back what has not happened yet. */
  heal(): void
  /** Answers lost so far. */
  lost(): number
}

/** @param upstream a postgres: URL with host and port; its path and credentials are kept */
export async function startStatementProxy(upstream: string): Promise<StatementProxy> {
  const target = new URL(upstream)
  const sockets = new Set<Socket>()
  let wanted: Buffer[] = []
  let lost = 0
  const server = createServer((client) => {
    const postgres = connect(Number(target.port), target.hostname)
    for (const [socket, other] of [
      [client, postgres],
      [postgres, client],
    ] as const) {
      sockets.add(socket)
      // Whatever ends one side, ends the other; the error itself is the client's to see.
      socket.on('error', () => other.destroy())
      socket.on('close', () => {
        sockets.delete(socket)
        other.destroy()
      })
    }
    let swallowing = false
    let tail: Buffer = Buffer.alloc(0)
    client.on('data', (chunk: Buffer) => {
      const match = swallowing ? undefined : wanted.find((text) => chunk.includes(text))
      if (match !== undefined) {
        wanted = wanted.filter((text) => text !== match)
        swallowing = true
      }
      postgres.write(chunk)
    })
    postgres.on('data', (chunk: Buffer) => {
      if (!swallowing) return void client.write(chunk)
      tail = Buffer.concat([tail, chunk]).subarray(-READY.length)
      if (!tail.equals(READY)) return
      lost++
      client.resetAndDestroy()
    })
    client.on('end', () => postgres.end())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  const url = new URL(upstream)
  url.host = `127.0.0.1:${address.port}`
  return {
    port: address.port,
    url: url.href,
    loseAnswerOf: (text) => void wanted.push(Buffer.from(text)),
    heal: () => {
      wanted = []
    },
    lost: () => lost,
    [Symbol.asyncDispose]: async () => {
      server.close()
      for (const socket of sockets) socket.destroy()
      await once(server, 'close')
    },
  }
}
