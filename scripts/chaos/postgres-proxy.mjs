/**
 * A TCP proxy before Postgres that can lose one answer: when armed, the next statement that commits an attempt reaches the
 * server, is carried out to its end, and its client never hears of it. It can also refuse and break everything.
 */
import { once } from 'node:events'
import { connect, createServer } from 'node:net'

/** Stands in the commit's SQL and in no other statement's (packages/records, commit-attempt). */
const COMMIT = Buffer.from('committed_attempt_id = c.id')
/** ReadyForQuery, idle: the statement is over and its transaction with it. */
const READY = Buffer.from([0x5a, 0, 0, 0, 5, 0x49])

/** @param {number} port of the real server */
export async function startPostgresProxy(port) {
  /** @type {Set<import('node:net').Socket>} */
  const sockets = new Set()
  let armed = 0
  let lost = 0
  const server = createServer((client) => {
    const upstream = connect(port, '127.0.0.1')
    let swallowing = false
    for (const [socket, other] of /** @type {const} */ ([
      [client, upstream],
      [upstream, client],
    ])) {
      sockets.add(socket)
      socket.on('error', () => other.destroy())
      socket.on('close', () => {
        sockets.delete(socket)
        other.destroy()
      })
    }
    client.on('data', (chunk) => {
      if (armed > 0 && !swallowing && chunk.includes(COMMIT)) {
        armed--
        swallowing = true
      }
      upstream.write(chunk)
    })
    /** @type {Buffer} */
    let tail = Buffer.alloc(0)
    upstream.on('data', (chunk) => {
      if (!swallowing) return void client.write(chunk)
      tail = Buffer.concat([tail, chunk]).subarray(-READY.length)
      if (!tail.equals(READY)) return
      lost++
      client.resetAndDestroy()
    })
    client.on('end', () => upstream.end())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return {
    port: address.port,
    /** The next commit's answer is lost. */
    arm: () => void armed++,
    disarm: () => void (armed = 0),
    /** Answers lost so far. */
    lost: () => lost,
    close: async () => {
      server.close()
      for (const socket of sockets) socket.destroy()
      await once(server, 'close')
    },
  }
}

/** @typedef {Awaited<ReturnType<typeof startPostgresProxy>>} PostgresProxy */
