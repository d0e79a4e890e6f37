import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, chown, readFile, writeFile } from 'node:fs/promises'
import { createServer, type AddressInfo } from 'node:net'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { tempDir } from './temp-dir.js'

export interface Pgbouncer extends AsyncDisposable {
  /** The given database through the pooler, over TCP. */
  readonly url: string
  /** The folder of its socket, as libpq's `host`. */
  readonly socketDir: string
  readonly port: number
}

export interface PgbouncerOptions {
  /** The database behind it; its user and password are used for every client. */
  readonly url: string
  /** Further lines of the section [pgbouncer]. */
  readonly settings?: readonly string[]
  /** PEM texts: clients must then speak TLS. */
  readonly tls?: { readonly cert: string; readonly key: string }
}

/** A real pgbouncer in transaction mode with two connections to the server, ended when disposed of. */
export async function startPgbouncer(options: PgbouncerOptions): Promise<Pgbouncer> {
  const dir = await tempDir()
  const server = new URL(options.url)
  const port = await freePort()
  const user = process.getuid?.() === 0 ? await serviceUser() : undefined
  const files = { 'cert.pem': options.tls?.cert, 'key.pem': options.tls?.key }
  const lines = [
    '[databases]',
    `* = host=${server.hostname} port=${server.port} user=${server.username} password=${decodeURIComponent(server.password)}`,
    '[pgbouncer]',
    `listen_addr = 127.0.0.1`,
    `listen_port = ${port}`,
    `unix_socket_dir = ${dir.path}`,
    'auth_type = any',
    'pool_mode = transaction',
    'default_pool_size = 2',
    ...(options.tls === undefined
      ? []
      : [
          'client_tls_sslmode = require',
          `client_tls_cert_file = ${path.join(dir.path, 'cert.pem')}`,
          `client_tls_key_file = ${path.join(dir.path, 'key.pem')}`,
        ]),
    ...(options.settings ?? []),
  ]
  for (const [name, text] of Object.entries({ ...files, 'pgbouncer.ini': lines.join('\n') })) {
    if (text === undefined) continue
    await writeFile(path.join(dir.path, name), text, { mode: 0o600 })
    if (user !== undefined) await chown(path.join(dir.path, name), user.uid, user.gid)
  }
  await chmod(dir.path, 0o700)
  if (user !== undefined) await chown(dir.path, user.uid, user.gid)
  // It refuses to run as root, and takes another user's name instead. Debian has it in sbin.
  const as = user === undefined ? [] : ['-u', user.name]
  const child = spawn('pgbouncer', [...as, path.join(dir.path, 'pgbouncer.ini')], {
    env: { PATH: `${process.env['PATH'] ?? ''}:/usr/sbin` },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const exited = once(child, 'exit')
  const log: string[] = []
  await new Promise<void>((resolve, reject) => {
    createInterface({ input: child.stderr }).on('line', (line) => {
      log.push(line)
      if (line.includes('process up')) resolve()
    })
    child.on('error', reject)
    child.on('exit', () => reject(new Error(`pgbouncer ended:\n${log.join('\n')}`)))
  })
  const url = new URL(options.url)
  url.port = String(port)
  return {
    url: url.href,
    socketDir: dir.path,
    port,
    async [Symbol.asyncDispose]() {
      child.kill('SIGTERM')
      await exited
      await dir[Symbol.asyncDispose]()
    },
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

async function serviceUser(): Promise<{ name: string; uid: number; gid: number }> {
  for (const line of (await readFile('/etc/passwd', 'utf8')).split('\n')) {
    const [name = '', , uid, gid] = line.split(':')
    if (name === 'postgres') return { name, uid: Number(uid), gid: Number(gid) }
  }
  throw new Error('pgbouncer does not run as root, and there is no user `postgres`')
}
