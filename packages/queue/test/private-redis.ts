import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Redis } from 'ioredis'

import { freePort } from '../../../tools/lib/ports.mjs'

/** A Redis of the test's own, which it may configure, stop and kill as the shared one must not be. */
export interface PrivateRedis extends AsyncDisposable {
  readonly url: string
  readonly port: number
  /** stops the process; the port refuses connections then */
  stop(): Promise<void>
  readonly process: ChildProcess
}

export async function startRedis(args: readonly string[] = []): Promise<PrivateRedis> {
  const dir = await mkdtemp(join(tmpdir(), 'sealfleet-redis-'))
  const port = await freePort()
  const settings = ['--port', String(port), '--bind', '127.0.0.1', '--dir', dir, '--save', '', '--appendonly', 'no']
  const child = spawn('redis-server', [...settings, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
  const exited = once(child, 'exit')
  await ready(child)
  const stop = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL')
    await exited
  }
  return {
    url: `redis://127.0.0.1:${port}`,
    port,
    process: child,
    stop,
    [Symbol.asyncDispose]: async () => {
      await stop()
      await rm(dir, { recursive: true, force: true })
    },
  }
}

async function ready(child: ChildProcess): Promise<void> {
  let output = ''
  for await (const chunk of child.stdout ?? []) {
    output += String(chunk)
    if (output.includes('Ready to accept connections')) break
  }
  if (!output.includes('Ready to accept connections')) throw new Error(`redis-server did not start: ${output}`)
}

/** Resolves when the connection has closed. (`once` would reject by the error that comes before.) */
export function closing(redis: Redis): Promise<void> {
  return new Promise((resolve) => redis.once('close', () => resolve()))
}
