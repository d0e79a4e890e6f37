import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import type { OperationError } from '../src/wire/messages.js'
import { FakePool, fakeHmac } from './fake-agents.js'

const RECYCLE: OperationError = { verdict: 'recycle', text: 'device error', ckr: 0x30, fn: 'C_Sign' }

function message(n: number): Buffer {
  const bytes = Buffer.alloc(32)
  bytes.writeUInt32BE(n)
  return bytes
}

describe('the pool as a state machine', () => {
  it('spreads operations over both agents up to their sessions, then queues in order, then is busy', async () => {
    const pool = new FakePool()
    await pool.open()
    const calls = Array.from({ length: 16 }, (_, i) => pool.hmac(message(i)))
    expect(pool.agents.map(({ held }) => held.size)).toEqual([4, 4])
    expect(pool.core.waiting).toBe(8)
    await expect(pool.hmac(message(99))).rejects.toMatchObject({ code: 'HSM_BUSY' })
    const [first] = pool.agents
    first?.answer(first.pick(0))
    expect(pool.core.waiting).toBe(7)
    expect([...(first?.held.values() ?? [])].at(-1)?.readUInt32BE()).toBe(8)
    while (pool.agents.some(({ held }) => held.size > 0)) for (const agent of pool.agents) agent.answer(agent.pick(0))
    await expect(Promise.all(calls)).resolves.toHaveLength(16)
  })

  it('replays what a dead agent had, once, on the other', async () => {
    const pool = new FakePool()
    await pool.open()
    const call = pool.hmac(message(1))
    const [first, second] = pool.agents.filter(({ held }) => held.size > 0).concat(pool.agents)
    first?.die('SIGSEGV')
    const other = pool.agents.find((agent) => agent.alive && agent.held.size === 1)
    expect(other).toBeDefined()
    other?.die('SIGSEGV')
    await expect(call).rejects.toMatchObject({ code: 'HSM_SESSION_LOST' })
    expect(second).toBeDefined()
  })

  it('replaces an agent that reports a broken device, after it has finished what it had', async () => {
    const pool = new FakePool()
    await pool.open()
    const calls = Array.from({ length: 8 }, (_, i) => pool.hmac(message(i)))
    const [first, second] = pool.agents
    first?.refuse(first.pick(0), RECYCLE)
    expect(first?.alive).toBe(true)
    second?.answer(second.pick(0))
    while ((first?.held.size ?? 0) > 0) first?.answer(first.pick(0))
    expect(first?.alive).toBe(false)
    while ((second?.held.size ?? 0) > 0) second?.answer(second.pick(0))
    await expect(Promise.all(calls)).resolves.toHaveLength(8)
    expect(pool.events).toContainEqual({ type: 'restart', agent: 0, reason: 'error' })
    expect(pool.agents).toHaveLength(3)
  })

  it('gives a hanging operation to the other agent after the hard time-out, and kills at a quarter of the sessions', async () => {
    const pool = new FakePool()
    await pool.open(8)
    const calls = Array.from({ length: 4 }, (_, i) => pool.hmac(message(i)))
    const [first, second] = pool.agents
    expect(first?.held.size).toBe(2)
    while ((second?.held.size ?? 0) > 0) second?.answer(second.pick(0))
    pool.pass(1_100)
    expect(pool.events.filter(({ type }) => type === 'slow')).toHaveLength(2)
    pool.pass(4_000)
    expect(pool.events.filter(({ type }) => type === 'hung')).toHaveLength(2)
    expect(second?.held.size).toBe(2)
    expect(first?.alive).toBe(false)
    while ((second?.held.size ?? 0) > 0) second?.answer(second.pick(0))
    await expect(Promise.all(calls)).resolves.toHaveLength(4)
    expect(pool.events).toContainEqual({ type: 'restart', agent: 0, reason: 'hung' })
  })

  it('takes a late answer of a hung session, and ignores its late error', async () => {
    const pool = new FakePool()
    await pool.open(8)
    const [first, second] = pool.agents
    const taken = pool.hmac(message(1))
    pool.pass(5_100)
    expect(second?.held.size).toBe(1)
    first?.answer(first.pick(0))
    await expect(taken).resolves.toEqual(fakeHmac(message(1)))
    second?.answer(second.pick(0))

    const ignored = pool.hmac(message(2))
    const [runner, other] = (first?.held.size ?? 0) > 0 ? [first, second] : [second, first]
    pool.pass(5_100)
    const again = pool.agents.find((agent) => agent !== runner && agent.held.size === 1)
    runner?.refuse(runner.pick(0), RECYCLE)
    again?.answer(again.pick(0))
    await expect(ignored).resolves.toEqual(fakeHmac(message(2)))
    expect(other).toBeDefined()
  })

  it('kills an agent whose heartbeat is three seconds late, but not when its own loop was blocked', async () => {
    const pool = new FakePool()
    await pool.open()
    const [first] = pool.agents
    pool.now += 60_000
    pool.core.tick()
    expect(pool.living).toHaveLength(2)
    pool.pass(3_400, first === undefined ? [] : [first])
    expect(first?.alive).toBe(true)
    pool.pass(300, first === undefined ? [] : [first])
    expect(first?.alive).toBe(false)
    expect(pool.events).toContainEqual({ type: 'restart', agent: 0, reason: 'silent' })
  })

  it('restarts an agent three times at once and then once in 30 s', async () => {
    const pool = new FakePool()
    await pool.open()
    const started = () => pool.agents.length
    for (let i = 0; i < 3; i += 1) {
      pool.living[0]?.die('SIGSEGV')
      expect(started()).toBe(3 + i)
      pool.living.at(-1)?.ready(4)
      pool.living.reverse()
    }
    for (const agent of pool.living) agent.die('SIGSEGV')
    const after = started()
    pool.pass(20_000)
    const early = started()
    pool.pass(31_000)
    expect(early - after).toBeLessThanOrEqual(3)
    expect(started()).toBeGreaterThan(early)
  })

  it('opens the breaker after five failures in a row and closes it by a probe', async () => {
    const pool = new FakePool({ maxWaiters: 100 })
    await pool.open(8)
    const failing = Array.from({ length: 5 }, (_, i) => pool.hmac(message(i)))
    const outcomes = Promise.allSettled(failing)
    for (const agent of [...pool.living]) agent.die('SIGSEGV')
    for (const agent of [...pool.living]) agent.ready(8)
    for (const agent of [...pool.living]) agent.die('SIGSEGV')
    for (const outcome of await outcomes) expect(outcome).toMatchObject({ reason: { code: 'HSM_SESSION_LOST' } })
    expect(pool.core.breaker.state).toBe('open')
    await expect(pool.hmac(message(9))).rejects.toMatchObject({ code: 'HSM_UNAVAILABLE' })
    expect(pool.core.breaker.takeProbe()).toBe(false)
    pool.pass(2_100)
    expect(pool.core.breaker.takeProbe()).toBe(true)
    expect(pool.core.breaker.takeProbe()).toBe(false)
    pool.core.breaker.success()
    expect(pool.core.breaker.state).toBe('closed')
  })

  it('fails a waiter at its deadline: busy when agents live, unavailable when none does', async () => {
    const pool = new FakePool({ sessions: 1, deadlineMs: 2_000 })
    await pool.open(1)
    const running = [pool.hmac(message(1)), pool.hmac(message(2))]
    const waiting = pool.hmac(message(3))
    const outcomes = Promise.allSettled([...running, waiting])
    pool.pass(2_100)
    expect(await outcomes).toMatchObject([
      { reason: { code: 'HSM_UNAVAILABLE' } },
      { reason: { code: 'HSM_UNAVAILABLE' } },
      { reason: { code: 'HSM_BUSY' } },
    ])
    for (const agent of [...pool.living]) agent.die('SIGSEGV')
    const without = pool.hmac(message(4)).catch((error: unknown) => error)
    pool.pass(2_100)
    expect(await without).toMatchObject({ code: expect.stringMatching(/^HSM_(UNAVAILABLE|SESSION_LOST)$/) as string })
  })

  const step = fc.oneof(
    { weight: 6, arbitrary: fc.record({ do: fc.constant('submit' as const), n: fc.nat(1000) }) },
    { weight: 8, arbitrary: fc.record({ do: fc.constant('answer' as const), agent: fc.nat(), n: fc.nat() }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('refuse' as const), agent: fc.nat(), n: fc.nat() }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('die' as const), agent: fc.nat() }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('ready' as const), agent: fc.nat() }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('abort' as const), n: fc.nat() }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('pass' as const), n: fc.integer({ min: 1, max: 70 }) }) },
  )

  it('settles every operation exactly once, with its own answer, whatever the agents do', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 80 }), async (steps) => {
        const pool = new FakePool()
        await pool.open()
        const calls: { sent: Buffer; controller: AbortController; settled: Promise<unknown>; count: number }[] = []
        const agentAt = (n: number) => pool.living[n % Math.max(1, pool.living.length)]
        for (const s of steps) {
          switch (s.do) {
            case 'submit': {
              const controller = new AbortController()
              const call = {
                sent: message(calls.length),
                controller,
                settled: Promise.resolve() as Promise<unknown>,
                count: 0,
              }
              call.settled = pool.hmac(call.sent, controller.signal).then(
                (answer) => {
                  call.count += 1
                  expect(answer).toEqual(fakeHmac(call.sent))
                },
                () => (call.count += 1),
              )
              calls.push(call)
              break
            }
            case 'answer':
              agentAt(s.agent)?.answer(agentAt(s.agent)?.pick(s.n))
              break
            case 'refuse':
              agentAt(s.agent)?.refuse(agentAt(s.agent)?.pick(s.n), RECYCLE)
              break
            case 'die':
              agentAt(s.agent)?.die('SIGSEGV')
              break
            case 'ready': {
              const starting = pool.core.lives.find(({ state }) => state === 'starting')
              if (starting !== undefined) pool.living.at(-1)?.ready(4)
              break
            }
            case 'abort':
              calls[s.n % Math.max(1, calls.length)]?.controller.abort(new Error('aborted'))
              break
            case 'pass':
              pool.pass(s.n * 100)
          }
          for (const life of pool.core.lives) expect(life.busy).toBeLessThanOrEqual(4)
        }
        pool.pass(16_000)
        await Promise.all(calls.map(({ settled }) => settled))
        for (const { count } of calls) expect(count).toBe(1)
        const runs = pool.agents.flatMap((agent) => [...agent.seen])
        for (const id of new Set(runs)) expect(runs.filter((seen) => seen === id).length).toBeLessThanOrEqual(2)
        expect(pool.core.waiting).toBe(0)
        await pool.core.end()
      }),
      { numRuns: 300 },
    )
  })
})
