/**
 * Ports on 127.0.0.1: chosen once, remembered by the caller, replaced only when another program took them. They lie
 * below those that the kernel gives to outgoing connections; otherwise any client on this machine could take the port
 * of a restarting service.
 */
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:net'

const LOWEST = 10_000

/**
 * Binds a port for a moment.
 *
 * @param {number} port
 * @returns {Promise<boolean>} whether no one has it
 */
async function tryPort(port) {
  const server = createServer()
  try {
    server.listen(port, '127.0.0.1')
    await once(server, 'listening')
  } catch (error) {
    if (['EADDRINUSE', 'EACCES'].includes(/** @type {NodeJS.ErrnoException} */ (error).code ?? '')) return false
    throw error
  }
  server.close()
  await once(server, 'close')
  return true
}

/** The first port of outgoing connections; Linux's default where the kernel does not say. */
async function firstOutgoing() {
  const range = await readFile('/proc/sys/net/ipv4/ip_local_port_range', 'utf8').catch(() => '')
  return Number(/^\d+/.exec(range)?.[0] ?? 32_768)
}

/**
 * The remembered port when it is free, else a new free one.
 *
 * @param {number} [remembered]
 */
export async function freePort(remembered) {
  if (remembered && (await tryPort(remembered))) return remembered
  const below = Math.max(await firstOutgoing(), LOWEST + 1_000)
  for (let attempt = 0; attempt < 100; attempt++) {
    const port = randomInt(LOWEST, below)
    if (await tryPort(port)) return port
  }
  throw new Error(`no free port on 127.0.0.1 between ${LOWEST} and ${below}`)
}
