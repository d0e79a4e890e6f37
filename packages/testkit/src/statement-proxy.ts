import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'

/** ReadyForQuery, without its last byte: the statement has ended. */
const READY = Buffer.from([0x5a, 0, 0, 0, 5])
/** So has its transaction. */
const IDLE = 0x49
const IN_TRANSACTION = 0x54

/** The message Parse: its length, the statement's name, its text. A named statement's text is sent this one time. */
const PARSE = /P[^]{4}([^\0]+)\0([^\0]+)\0/g

/** The statement that commits an attempt; no other statement's text contains it (packages/records, commit-attempt). */
export const COMMIT_STATEMENT = 'committed_attempt_id = c.id'

/** A TCP port before a real Postgres that can lose one answer, and forwards everything else unchanged. */
export interface StatementProxy extends AsyncDisposable {
  readonly port: number
  /** The server's address with the proxy's host and port in it. */
  readonly url: string
  /**
   * The next statement with this text reaches the server and runs to its end; then its client's connection breaks,
   * without a byte of the answer.
   */
  loseAnswerOf(text: string): void
  /** The same, for a statement inside a transaction: the transaction breaks with it, half done. */
  breakAfter(text: string): void
  /** Cancels a fault that has not happened yet. */
  heal(): void
  /** Answers lost so far. */
  lost(): number
}

/** @param upstream a postgres: URL with host and port; its path and credentials are kept */
export async function startStatementProxy(upstream: string): Promise<StatementProxy> {
  const target = new URL(upstream)
  const sockets = new Set<Socket>()
  let wanted: { readonly text: string; readonly status: number }[] = []
  let lost = 0
  const server = createServer((client) => {
    const postgres = connect(Number(target.port), target.hostname)
    for (const [socket, other] of [
      [client, postgres],
      [postgres, client],
    ] as const) {
      sockets.add(socket)
      // The end of one side ends the other; the client sees the error itself.
      socket.on('error', () => other.destroy())
      socket.on('close', () => {
        sockets.delete(socket)
        other.destroy()
      })
    }
    let swallowing: number | undefined
    let tail: Buffer = Buffer.alloc(0)
    const texts = new Map<string, string>()
    const sends = (chunk: Buffer, text: string): boolean =>
      chunk.includes(text) || [...texts].some(([name, known]) => known.includes(text) && chunk.includes(`\0${name}\0`))
    client.on('data', (chunk: Buffer) => {
      for (const [, name = '', text = ''] of chunk.toString('latin1').matchAll(PARSE)) texts.set(name, text)
      const match = swallowing === undefined ? wanted.find(({ text }) => sends(chunk, text)) : undefined
      if (match !== undefined) {
        wanted = wanted.filter((one) => one !== match)
        swallowing = match.status
      }
      postgres.write(chunk)
    })
    postgres.on('data', (chunk: Buffer) => {
      if (swallowing === undefined) return void client.write(chunk)
      tail = Buffer.concat([tail, chunk]).subarray(-READY.length - 1)
      if (!tail.equals(Buffer.of(...READY, swallowing))) return
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
    loseAnswerOf: (text) => void wanted.push({ text, status: IDLE }),
    breakAfter: (text) => void wanted.push({ text, status: IN_TRANSACTION }),
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
