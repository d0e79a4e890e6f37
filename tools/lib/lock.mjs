/**
 * One script at a time on one home of services. The lock is a listening socket in Linux's abstract namespace: the
 * kernel frees it however its holder ends, so there is no stale lock, and the connection's end wakes the waiting
 * scripts.
 */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, realpath } from 'node:fs/promises'
import { connect, createServer } from 'node:net'

/**
 * Waits for the lock of a directory (which is made when missing), works, and frees it.
 *
 * @template T
 * @param {string} directory
 * @param {() => Promise<T>} work
 * @param {{ onWait?: () => void }} [options] `onWait` is called once when another process holds it
 * @returns {Promise<T>}
 */
export async function withLock(directory, work, { onWait } = {}) {
  await mkdir(directory, { recursive: true })
  const digest = createHash('sha256')
    .update(await realpath(directory))
    .digest('hex')
  const name = `\0sealfleet-${digest.slice(0, 40)}`
  for (let first = true; ; first = false) {
    const free = await listen(name)
    if (!free) {
      if (first) onWait?.()
      await holderEnds(name)
      continue
    }
    try {
      return await work()
    } finally {
      await free()
    }
  }
}

/** @param {string} name @returns {Promise<(() => Promise<void>) | undefined>} frees the lock; undefined when another holds it */
async function listen(name) {
  /** @type {Set<import('node:net').Socket>} */
  const waiting = new Set()
  const server = createServer((socket) => {
    waiting.add(socket)
    socket.on('error', () => socket.destroy())
    socket.on('close', () => waiting.delete(socket))
  })
  try {
    server.listen(name)
    await once(server, 'listening')
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code === 'EADDRINUSE') return undefined
    throw error
  }
  server.unref()
  return async () => {
    const closed = once(server, 'close')
    server.close()
    for (const socket of waiting) socket.destroy()
    await closed
  }
}

/** @param {string} name */
async function holderEnds(name) {
  const socket = connect(name)
  socket.resume()
  await new Promise((resolve) => {
    socket.on('error', resolve) // refused: the holder ended between our two steps
    socket.on('close', resolve)
  })
  socket.destroy()
}
