/** Ports on 127.0.0.1: chosen once by the system, remembered by the caller, replaced only when a stranger took them. */
import { once } from 'node:events'
import { createServer } from 'node:net'

/**
 * Binds a port for a moment. 0 lets the system choose.
 *
 * @param {number} port
 * @returns {Promise<number | undefined>} the port, or undefined when it is taken
 */
async function tryPort(port) {
  const server = createServer()
  try {
    server.listen(port, '127.0.0.1')
    await once(server, 'listening')
  } catch (error) {
    if (['EADDRINUSE', 'EACCES'].includes(/** @type {NodeJS.ErrnoException} */ (error).code ?? '')) return undefined
    throw error
  }
  const address = server.address()
  server.close()
  await once(server, 'close')
  return address !== null && typeof address === 'object' ? address.port : undefined
}

/**
 * The remembered port when it is free, else a new free one.
 *
 * @param {number} [remembered]
 */
export async function freePort(remembered) {
  const port = (remembered && (await tryPort(remembered))) || (await tryPort(0))
  if (!port) throw new Error('no free port on 127.0.0.1')
  return port
}
