/** A private Redis: loopback only, password, append-only file, and noeviction, without which BullMQ would lose jobs. */
import { once } from 'node:events'
import { mkdir } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { startDaemon } from './daemon.mjs'
import { secretIn, writeWhole } from './files.mjs'
import { processService } from './process-service.mjs'

export const redis = processService({
  program: 'redis-server',
  directory: (home) => join(home, 'redis'),

  async start({ home, port, log }) {
    const dir = join(home, 'redis')
    await mkdir(dir, { recursive: true, mode: 0o700 })
    const password = await secretIn(join(dir, 'password'))
    const conf = join(dir, 'redis.conf')
    const settings = [
      'bind 127.0.0.1',
      `port ${port}`,
      `requirepass ${password}`,
      `dir "${dir.replace(/["\\]/g, '\\$&')}"`,
      'daemonize no',
      'supervised no',
      'appendonly yes',
      'appendfsync everysec',
      'save ""',
      'maxmemory-policy noeviction',
    ]
    await writeWhole(conf, `${settings.join('\n')}\n`)
    const ready = (/** @type {string} */ output) => output.includes('Ready to accept connections')
    return await startDaemon({ name: 'Redis', command: 'redis-server', args: [conf], cwd: dir, log, ready })
  },

  async answers({ home, port }) {
    const password = await secretIn(join(home, 'redis', 'password'))
    return (await ask(port, `AUTH ${password}\r\nPING\r\n`)).includes('+PONG')
  },
})

/**
 * The address for clients, password included.
 *
 * @param {string} home
 * @param {number} port
 */
export async function redisUrl(home, port) {
  return `redis://:${await secretIn(join(home, 'redis', 'password'))}@127.0.0.1:${port}`
}

/**
 * Sends inline commands and collects the answers until QUIT closes the connection; '' when there is no server.
 *
 * @param {number} port
 * @param {string} commands
 */
async function ask(port, commands) {
  const socket = connect({ host: '127.0.0.1', port, timeout: 5_000 })
  let answer = ''
  socket.setEncoding('utf8').on('data', (text) => (answer += String(text)))
  socket.on('timeout', () => socket.destroy())
  socket.end(`${commands}QUIT\r\n`)
  try {
    await once(socket, 'close')
  } catch (error) {
    return `no answer: ${String(error)}`
  }
  return answer
}
