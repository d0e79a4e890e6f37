import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

import type { Fleet } from './fleet.js'

const DOOMED = fileURLToPath(new URL('../../../bundle/test-crash-worker.mjs', import.meta.url))

/** Runs a worker with a short lease until it kills itself at this point; resolves when it is gone. */
export async function startDoomed(fleet: Fleet, point: string, env: NodeJS.ProcessEnv = {}): Promise<void> {
  const short = { SEALFLEET_LEASE_SECONDS: '2', SEALFLEET_LEASE_RENEW_SECONDS: '1', SEALFLEET_HSM_AGENTS: '1' }
  const child = spawn(process.execPath, [DOOMED, 'SIGKILL', point], {
    env: { ...process.env, ...fleet.env, ...fleet.token.env, ...short, ...env },
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  const [, signal] = (await once(child, 'exit')) as [number | null, string | null]
  if (signal !== 'SIGKILL') throw new Error(`the worker ended by ${String(signal)}`)
}
