import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { FakeTokens, fakeHmac, LABEL, turns } from './fake-tokens.js'

function message(n: number): Buffer {
  const bytes = Buffer.alloc(32)
  bytes.writeUInt32BE(n)
  return bytes
}

describe('several tokens as a state machine', () => {
  it('keeps two agents of the token that serves and one of the other', async () => {
    const pool = new FakeTokens(2)
    await pool.open()
    expect(pool.fakes.map(({ living }) => living.length)).toEqual([2, 1])
  })

  it('waits for a primary that starts more slowly than the secondary', async () => {
    const pool = new FakeTokens(2)
    const started = pool.tokens.start()
    for (let i = 0; i < 50; i += 1) {
      pool.now += 100
      pool.settle(pool.fakes.slice(1))
      pool.tokens.tick()
      await turns()
    }
    expect(pool.failovers).toEqual([])
    pool.settle()
    await started
    pool.tokens.tick()
    expect(pool.failovers).toEqual([])
    expect(pool.tokens.active.name).toBe('token-0')
  })

  it('moves what was running and what waited to the secondary when the primary goes, and loses nothing', async () => {
    const pool = new FakeTokens(2)
    await pool.open()
    const calls = Array.from({ length: 24 }, (_, i) => pool.hmac(message(i)))
    expect(pool.tokens.list[0]?.core.waiting).toBe(16)
    pool.fakes[0]?.leave()
    for (let i = 0; i < 30; i += 1) {
      await pool.pass(100)
      pool.answer(1)
    }
    const answers = await Promise.all(calls)
    answers.forEach((answer, i) => expect(answer).toEqual(fakeHmac(message(i))))
    expect(pool.tokens.active.name).toBe('token-1')
    expect(pool.failovers).toMatchObject([{ from: 'token-0', token: 'token-1' }])
    expect(pool.fakes[1]?.living).toHaveLength(2)
  })

  it('moves one operation without leaving a primary that serves the others', async () => {
    const pool = new FakeTokens(2)
    await pool.open()
    const call = pool.hmac(message(1))
    for (const _ of [1, 2]) {
      for (const agent of pool.fakes[0]?.living ?? []) agent.refuse(agent.pick(0), RECYCLE)
      pool.settle()
    }
    await turns()
    pool.answer(1)
    expect(await call).toEqual(fakeHmac(message(1)))
    expect(pool.tokens.active.name).toBe('token-0')
  })

  it.each([
    ['to a token that has the key, after one hard time-out', 0],
    ['to the other agent first, where the secondary is not known to have the key', 1],
  ])('takes an operation that hangs %s', async (_where, key) => {
    const pool = new FakeTokens(2)
    await pool.open()
    Object.assign(pool.fakes[1] ?? {}, { key })
    await pool.pass(1_500)
    const call = pool.hmac(message(1))
    const holders = () => pool.fakes.map(({ agents }) => agents.filter(({ held }) => held.size > 0).length)
    expect(holders()).toEqual([1, 0])
    await pool.pass(4_500)
    expect(holders()).toEqual([1, 0])
    await pool.pass(600)
    expect(holders()).toEqual(key === 0 ? [1, 1] : [2, 0])
    pool.answer(key === 0 ? 1 : 0)
    expect(await call).toEqual(fakeHmac(message(1)))
    expect(pool.events.filter(({ type }) => type === 'hung')).toHaveLength(1)
    expect(pool.tokens.active.name).toBe('token-0')
  })

  it('goes back after three good probes of the primary, and finishes on the secondary what it has', async () => {
    const pool = new FakeTokens(2)
    await pool.open()
    pool.fakes[0]?.leave()
    await pool.pass(5_000)
    const [primary] = pool.fakes
    if (primary !== undefined) primary.present = true
    expect(pool.tokens.active.name).toBe('token-1')
    await pool.pass(1_500)
    const call = pool.hmac(message(7))
    let waited = 0
    for (; pool.tokens.active.name === 'token-1' && waited < 20; waited += 1) await pool.pass(500)
    expect(pool.failovers.at(-1)).toMatchObject({ from: 'token-1', token: 'token-0', reason: 'returned' })
    expect(waited).toBeGreaterThanOrEqual(3)
    await turns()
    if ((pool.fakes[1]?.living[0]?.held.size ?? 0) > 0) pool.answer(1)
    else pool.answer(0)
    expect(await call).toEqual(fakeHmac(message(7)))
  })

  it('does not go back to a primary that came back with another key', async () => {
    const pool = new FakeTokens(2)
    await pool.open()
    const [primary] = pool.fakes
    primary?.leave()
    await pool.pass(5_000)
    Object.assign(primary ?? {}, { present: true, key: 1 })
    await pool.pass(10_000)
    expect(pool.tokens.list[0]?.core.outage).toBeUndefined()
    expect(pool.tokens.active.name).toBe('token-1')
    Object.assign(primary ?? {}, { key: 0 })
    await pool.pass(5_000)
    expect(pool.tokens.active.name).toBe('token-0')
  })

  it('does not go back to it either while attempts say again and again what the key must be, nor tells agents so', async () => {
    const pool = new FakeTokens(2)
    await pool.open()
    const [primary] = pool.fakes
    primary?.leave()
    await pool.pass(5_000)
    Object.assign(primary ?? {}, { present: true, key: 1 })
    const told = () => pool.fakes.flatMap(({ living }) => living).reduce((sum, { expected }) => sum + expected, 0)
    await pool.pass(2_000)
    const before = told()
    for (let i = 0; i < 100; i += 1) {
      pool.expectKey()
      await pool.pass(100)
    }
    expect(pool.tokens.active.name).toBe('token-1')
    expect(told()).toBe(before)
    expect(pool.tokens.list[0]?.prober.checks).toMatchObject([{ state: 'mismatch' }])
  })

  it('says of a key how it stands on each token: asked now, and of no one who cannot answer', async () => {
    const pool = new FakeTokens(2)
    await pool.open()
    const states = async () => {
      const asked = Promise.all(pool.tokens.list.map(({ prober }) => prober.stateOf(LABEL)))
      pool.settle()
      return asked
    }
    Object.assign(pool.fakes[1] ?? {}, { key: 1 })
    expect(await states()).toEqual(['ok', 'mismatch'])
    Object.assign(pool.fakes[1] ?? {}, { key: 0 })
    expect(await states()).toEqual(['ok', 'ok'])
    pool.fakes[1]?.leave()
    await pool.pass(5_000)
    expect(await states()).toEqual(['ok', 'unreachable'])
  })

  it('takes what a failing token had even where its own queue is full', async () => {
    const pool = new FakeTokens(2)
    await pool.open()
    const calls = Array.from({ length: 24 }, (_, i) => pool.hmac(message(i)))
    pool.fakes[0]?.leave()
    // The second agent of the secondary does not come yet: 4 sessions (a probe may hold one) and 16 places for 24.
    for (let i = 0; i < 20; i += 1) {
      pool.now += 100
      for (const agent of pool.fakes[1]?.living ?? []) agent.beat()
      pool.tokens.tick()
      await turns()
    }
    expect(pool.tokens.list[1]?.core.waiting).toBeGreaterThan(16)
    for (let i = 0; i < 30; i += 1) {
      await pool.pass(100)
      pool.answer(1)
    }
    await expect(Promise.all(calls)).resolves.toHaveLength(24)
  })

  it('refuses a key of which no check value is known, on a secondary alone', async () => {
    const pool = new FakeTokens(2)
    await pool.open()
    const known = pool.hmac(message(1), undefined, 'sealfleet/default/enc/s1/9')
    pool.answer(0)
    expect(await known).toEqual(fakeHmac(message(1)))
    pool.fakes[0]?.leave()
    await pool.pass(3_000)
    const refused = pool.hmac(message(1), undefined, 'sealfleet/default/enc/s1/9')
    await expect(refused).rejects.toMatchObject({ code: 'KEY_MISMATCH' })
    const other = pool.hmac(message(2))
    pool.answer(1)
    expect(await other).toEqual(fakeHmac(message(2)))
  })

  it('says what is wrong with the primary when no token serves', async () => {
    const pool = new FakeTokens(2)
    await pool.open()
    for (const fake of pool.fakes) fake.leave()
    await pool.pass(3_000)
    const call = pool.hmac(message(1)).catch((error: unknown) => error)
    await pool.pass(16_000)
    expect(await call).toMatchObject({ code: 'HSM_UNAVAILABLE' })
  })

  const step = fc.oneof(
    { weight: 8, arbitrary: fc.record({ do: fc.constant('submit' as const) }) },
    { weight: 6, arbitrary: fc.record({ do: fc.constant('answer' as const), token: fc.nat(1) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('leave' as const), token: fc.nat(1) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('come' as const), token: fc.nat(1) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('die' as const), token: fc.nat(1), agent: fc.nat(1) }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('abort' as const), n: fc.nat() }) },
    { weight: 4, arbitrary: fc.record({ do: fc.constant('pass' as const), ms: fc.integer({ min: 1, max: 30 }) }) },
  )

  it('settles every operation exactly once, with its own answer, whatever the tokens do', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        const pool = new FakeTokens(2)
        await pool.open()
        const calls: { controller: AbortController; settled: Promise<unknown>; count: number }[] = []
        for (const s of steps) {
          switch (s.do) {
            case 'submit': {
              const call = {
                controller: new AbortController(),
                settled: Promise.resolve() as Promise<unknown>,
                count: 0,
              }
              const sent = message(calls.length)
              call.settled = pool.hmac(sent, call.controller.signal).then(
                (answer) => {
                  call.count += 1
                  expect(answer).toEqual(fakeHmac(message(calls.indexOf(call))))
                },
                () => (call.count += 1),
              )
              calls.push(call)
              // What a caller does with its buffer afterwards is its own business.
              sent.fill(0xee)
              break
            }
            case 'answer':
              pool.answer(s.token)
              break
            case 'leave':
              pool.fakes[s.token]?.leave()
              break
            case 'come': {
              const fake = pool.fakes[s.token]
              if (fake !== undefined) fake.present = true
              break
            }
            case 'die':
              pool.fakes[s.token]?.living[s.agent]?.die('SIGSEGV')
              break
            case 'abort':
              calls[s.n % Math.max(1, calls.length)]?.controller.abort(new Error('aborted'))
              break
            case 'pass':
              await pool.pass(s.ms * 100)
          }
          await turns()
        }
        await pool.pass(16_000)
        await Promise.all(calls.map(({ settled }) => settled))
        for (const { count } of calls) expect(count).toBe(1)
        for (const { core } of pool.tokens.list) expect(core.waiting).toBe(0)
      }),
      { numRuns: 100 },
    )
  })

  it('loses no operation while one of two tokens is there at any time', async () => {
    const round = fc.record({
      gone: fc.nat(1),
      calls: fc.integer({ min: 1, max: 8 }),
      before: fc.integer({ min: 0, max: 3 }),
    })
    await fc.assert(
      fc.asyncProperty(fc.array(round, { minLength: 1, maxLength: 6 }), async (rounds) => {
        const pool = new FakeTokens(2)
        await pool.open()
        let n = 0
        for (const { gone, calls, before } of rounds) {
          for (const fake of pool.fakes) fake.present = true
          do await pool.pass(1_000)
          while (pool.tokens.list.some(({ core }) => core.outage !== undefined))
          const running = Array.from({ length: calls }, () => {
            const sent = message((n += 1))
            return pool.hmac(sent).then((answer) => answer.equals(fakeHmac(sent)))
          })
          for (let i = 0; i < before; i += 1) await turns()
          pool.fakes[gone]?.leave()
          for (let i = 0; i < 40; i += 1) {
            await pool.pass(100)
            for (const [index, fake] of pool.fakes.entries()) if (fake.present) pool.answer(index)
          }
          expect(await Promise.all(running)).toEqual(running.map(() => true))
        }
      }),
      { numRuns: 60 },
    )
  })
})

const RECYCLE = { verdict: 'recycle', text: 'device error', ckr: 0x30, fn: 'C_Sign' } as const
