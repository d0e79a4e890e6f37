import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readdir, readFile, rm } from 'node:fs/promises'
import { existsSync } from 'node:fs'
import { join } from 'node:path'

import type { FreshToken } from '@sealfleet/testkit'

import type { TokenOptions } from '../src/options.js'
import { tokenOptions } from './helpers.js'

const CLIENT = '/usr/lib/x86_64-linux-gnu/pkcs11/p11-kit-client.so'

/** Why a token can't be reached through a socket here; undefined when it can. */
export function remoteAbsent(): string | undefined {
  return existsSync(CLIENT) ? undefined : 'p11-kit-modules is not installed'
}

/**
 * A SoftHSM token behind `p11-kit server`: calls go over a socket to another process, as with a network HSM, and that process
 * can be stopped (nothing answers any more) or killed (the connection is reset). The server has one process a connection.
 */
export class RemoteToken implements AsyncDisposable {
  readonly #token: FreshToken
  readonly #socket: string
  #server: ChildProcess | undefined

  private constructor(token: FreshToken) {
    this.#token = token
    this.#socket = join(token.dir, 'p11-kit.sock')
  }

  static async over(token: FreshToken): Promise<RemoteToken> {
    const remote = new RemoteToken(token)
    await remote.start()
    return remote
  }

  get options(): TokenOptions {
    return tokenOptions(this.#token, { module: CLIENT, env: { P11_KIT_SERVER_ADDRESS: `unix:path=${this.#socket}` } })
  }

  /** Starts the server; resolves when it listens. */
  async start(): Promise<void> {
    await rm(this.#socket, { force: true })
    const args = [
      'server',
      '-f',
      '-n',
      this.#socket,
      '--provider',
      this.#token.module,
      `pkcs11:token=${this.#token.label}`,
    ]
    // A group of its own, so that stopping and killing reach the processes of its connections, too.
    const server = spawn('p11-kit', args, {
      env: { ...process.env, ...this.#token.env },
      stdio: ['ignore', 'pipe', 'ignore'],
      detached: true,
    })
    this.#server = server
    await Promise.race([
      once(server.stdout, 'data'),
      once(server, 'exit').then(() => Promise.reject(new Error('p11-kit server ended'))),
    ])
  }

  /** Nothing answers from now on; connections stay open. */
  stall(): void {
    this.#signal('SIGSTOP')
  }

  resume(): void {
    this.#signal('SIGCONT')
  }

  /** Stops only the process that serves the oldest connection. Returns how to resume it. */
  async stallOne(): Promise<() => void> {
    const [first] = await childrenOf(this.#server?.pid ?? 0)
    if (first === undefined) throw new Error('nobody is connected')
    process.kill(first, 'SIGSTOP')
    return () => {
      process.kill(first, 'SIGCONT')
    }
  }

  /** The connections are reset and no one listens any more. */
  async kill(): Promise<void> {
    const server = this.#server
    if (server === undefined) return
    this.#server = undefined
    const ended = once(server, 'exit')
    this.#signal('SIGKILL', server)
    await ended
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill()
  }

  #signal(signal: NodeJS.Signals, server = this.#server): void {
    if (server?.pid !== undefined) process.kill(-server.pid, signal)
  }
}

/** Children by /proc, oldest first. */
async function childrenOf(pid: number): Promise<number[]> {
  const tasks = await readdir(`/proc/${pid}/task`)
  const lists = await Promise.all(tasks.map((task) => readFile(`/proc/${pid}/task/${task}/children`, 'utf8')))
  return lists
    .flatMap((list) => list.split(' '))
    .filter((text) => text !== '')
    .map(Number)
    .sort((a, b) => a - b)
}
