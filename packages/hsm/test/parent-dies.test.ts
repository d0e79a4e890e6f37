import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { Faulty, type FreshToken } from '@sealfleet/testkit'

import { agentEnvironment } from '../src/pool/agent-process.js'
import { ENC, ObservedPool, tokenOptions, tokenWithKeys } from './helpers.js'

const WORKER = fileURLToPath(new URL('pool-in-child.mjs', import.meta.url))

/** Resolves when the process is gone (or only waits to be reaped). There is no event for a process that isn't our child. */
async function gone(pid: number): Promise<void> {
  for (;;) {
    const stat = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => '')
    if (stat === '' || stat.slice(stat.lastIndexOf(')') + 2).startsWith('Z')) return
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

describe('agents and their parent', () => {
  let token: FreshToken

  beforeAll(async () => {
    token = await tokenWithKeys(ENC)
  })

  afterAll(async () => {
    await token[Symbol.asyncDispose]()
  })

  it.each(['SIGKILL', 'SIGTERM'] as const)('leave no process when the parent ends by %s', async (signal) => {
    const args = [WORKER, token.module, token.label, token.pinFile]
    const parent = spawn(process.execPath, args, {
      env: { ...process.env, ...token.env },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const [line] = (await once(createInterface(parent.stdout), 'line')) as [string]
    const pids = JSON.parse(line) as number[]
    expect(pids).toHaveLength(2)
    parent.kill(signal)
    await once(parent, 'exit')
    await Promise.all(pids.map(gone))
  })

  it('leave no process when the parent is killed while the module hangs in a synchronous call', async () => {
    await using faulty = await Faulty.over(tokenOptions(token))
    const { module, env } = faulty.token
    const args = [WORKER, module, token.label, token.pinFile]
    const parent = spawn(process.execPath, args, {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const [line] = (await once(createInterface(parent.stdout), 'line')) as [string]
    await faulty.rules('C_SignInit hang')
    const pids = JSON.parse(line) as number[]
    while ((await faulty.hits()) === 0) await new Promise((resolve) => setTimeout(resolve, 20))
    parent.kill('SIGKILL')
    await once(parent, 'exit')
    await Promise.all(pids.map(gone))
  })

  it('leave no process when the pool is closed', async () => {
    const observed = await ObservedPool.open(tokenOptions(token))
    await observed.allReady()
    const pids = observed.readyAgents().map(({ pid }) => pid)
    await observed[Symbol.asyncDispose]()
    await Promise.all(pids.map(gone))
    await expect(observed.pool.hmac(ENC, Buffer.alloc(32, 1))).rejects.toMatchObject({ code: 'HSM_UNAVAILABLE' })
  })

  it('do not see the settings of the parent, nor what could open them to a debugger', async () => {
    const parent = { PATH: '/bin', SEALFLEET_DATABASE_URL: 'secret', NODE_OPTIONS: '--inspect', HOME: undefined }
    const env = agentEnvironment(parent, { env: { SOFTHSM2_CONF: '/x', SEALFLEET_PKCS11_PIN: '1' } }, 8)
    expect(env).toEqual({ PATH: '/bin', SOFTHSM2_CONF: '/x', UV_THREADPOOL_SIZE: '12' })
    await using observed = await ObservedPool.open(tokenOptions(token), { agents: 1 })
    const [agent] = observed.readyAgents()
    const environ = await readFile(`/proc/${agent?.pid ?? 0}/environ`, 'latin1')
    expect(environ).not.toContain('SEALFLEET_')
    expect(environ).not.toContain(token.pin)
    expect(await readFile(`/proc/${agent?.pid ?? 0}/cmdline`, 'latin1')).not.toContain(token.pin)
  })
})
