import { describe, expect, it } from 'vitest'

import type { OperationError } from '../src/wire/messages.js'
import { FakePool, IDENTITY } from './fake-agents.js'

function message(n: number): Buffer {
  return Buffer.alloc(32, n)
}

describe('the pool at its edges', () => {
  it('never says "unknown" of a key that a fresh process found, even if both agents did not see it', async () => {
    const pool = new FakePool()
    await pool.open()
    const unknown: OperationError = { verdict: 'unknown', text: 'no key' }
    const call = pool.hmac(message(1)).catch((error: unknown) => error)
    for (let i = 0; i < 2; i += 1) {
      const holder = pool.living.find(({ held }) => held.size > 0)
      holder?.refuse(holder.pick(0), unknown)
      const fresh = pool.living.at(-1)
      fresh?.ready(1)
      fresh?.events.reply(fresh.pick(0) ?? NaN, Buffer.alloc(0))
      await new Promise((resolve) => setImmediate(resolve))
    }
    expect(await call).toMatchObject({ code: 'HSM_SESSION_LOST' })
  })

  it('refuses a probe of an agent that is gone, so that anyone who probes goes on', async () => {
    const pool = new FakePool()
    await pool.open()
    const [only] = pool.core.lives
    pool.agents[0]?.die('SIGSEGV')
    const probe = pool.core.submit({ name: 'ping', role: 'sig', label: '', parts: [], targetAgent: only })
    await expect(probe).rejects.toMatchObject({ code: 'HSM_SESSION_LOST' })
  })

  it.each([
    ['says nothing of a limit', 0, []],
    ['allows sessions and anchor', 5, []],
    ['allows one less', 4, [{ type: 'over-limit', agent: 0, wanted: 5, limit: 4 }]],
  ])('compares what an agent wants with a token that %s', async (_name, maxSessions, expected) => {
    const pool = new FakePool({ agents: 1, sessions: 4 })
    const started = pool.core.start()
    const token = { ...IDENTITY, maxSessions }
    pool.agents[0]?.events.ready({ pid: 1, token, mechanisms: { hmac: true, gcm: true }, sessions: 4 })
    await started
    expect(pool.events.filter(({ type }) => type === 'over-limit')).toEqual(expected)
  })
})
