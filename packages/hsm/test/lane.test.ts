import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

import { Faulty, type FreshToken } from '@sealfleet/testkit'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { LanePace } from '../src/agent/lane-pace.js'
import { LaneRing, type LaneOutcome, type LaneWork } from '../src/agent/lane-ring.js'
import { keyLabel } from '@sealfleet/format'
import { ENC, knownAnswers, loadUntil, ObservedPool, tokenOptions, tokenWithKeys } from './helpers.js'

const HANDLE = Buffer.from('0100000000000000', 'hex')

describe('the ring of a lane', () => {
  it('settles every request once, with its own bytes or as withdrawn, and runs none that was withdrawn', () => {
    const step = fc.oneof(
      {
        weight: 4,
        arbitrary: fc.record({ do: fc.constant('put' as const), bytes: fc.uint8Array({ maxLength: 112 }) }),
      },
      {
        weight: 4,
        arbitrary: fc.constantFrom({ do: 'take' as const }, { do: 'answer' as const }, { do: 'fail' as const }),
      },
      { weight: 2, arbitrary: fc.constant({ do: 'reap' as const }) },
      { weight: 1, arbitrary: fc.constant({ do: 'withdraw' as const }) },
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 400 }), (steps) => {
        const loop = new LaneRing()
        const thread = new LaneRing(loop.memory)
        const asked: Buffer[] = []
        const settled = new Map<number, string>()
        const ran = new Set<string>()
        let work: LaneWork | undefined
        let refused = 0
        const put = (bytes: Uint8Array) => {
          const id = asked.length
          const message = Buffer.from(bytes)
          const handler = (outcome: LaneOutcome) => {
            expect(settled.has(id)).toBe(false)
            const text = outcome.state === 'done' ? Buffer.from(outcome.out).toString('hex', 0, outcome.length) : ''
            settled.set(id, `${outcome.state}:${text}${outcome.state === 'failed' ? String(outcome.ckr) : ''}`)
          }
          if (loop.put(HANDLE, HANDLE, message, handler)) asked.push(message)
          else refused += 1
        }
        const finish = (result: 'answer' | 'fail') => {
          if (work === undefined) return
          ran.add(work.message.toString('hex'))
          work.message.copy(work.out)
          if (result === 'answer') thread.done(work, { length: work.message.length }, 1)
          else thread.done(work, { ckr: 0x8000_0001, fn: 'C_SignInit' }, 1)
          work = undefined
        }
        for (const one of steps) {
          if (one.do === 'put') put(one.bytes)
          else if (one.do === 'take') work ??= thread.next()
          else if (one.do === 'reap') loop.reap()
          else if (one.do === 'withdraw') loop.withdraw()
          else finish(one.do)
        }
        expect(loop.waiting).toBe(asked.length - settled.size)
        finish('answer')
        loop.withdraw()
        loop.reap()
        expect(settled.size).toBe(asked.length)
        for (const [id, outcome] of settled) {
          const own = asked[id]?.toString('hex') ?? ''
          expect([`done:${own}`, 'failed:2147483649', 'withdrawn:']).toContain(outcome)
          if (outcome === `done:${own}` && own !== '') expect(ran.has(own)).toBe(true)
        }
        expect(thread.next()).toBeUndefined()
        if (refused === 0) expect(asked.length).toBe(steps.filter((one) => one.do === 'put').length)
      }),
    )
  })

  it('tells the loop of answers once, until it has looked', () => {
    const loop = new LaneRing()
    const thread = new LaneRing(loop.memory)
    expect([thread.mustTell(), thread.mustTell()]).toEqual([true, false])
    loop.reap()
    expect([thread.mustTell(), thread.mustTell()]).toEqual([true, false])
  })

  it('keeps no message and no answer once a request is settled', () => {
    const loop = new LaneRing()
    const thread = new LaneRing(loop.memory)
    const secret = Buffer.alloc(32, 0xaa)
    const holds = () => Buffer.from(loop.memory).includes(secret.subarray(0, 8))
    const outcomes: string[] = []
    const handler = (outcome: LaneOutcome) => outcomes.push(outcome.state)
    loop.put(HANDLE, HANDLE, secret, handler)
    const work = thread.next()
    expect(work?.message.equals(secret)).toBe(true)
    work?.out.fill(0xaa, 0, 32)
    if (work !== undefined) thread.done(work, { length: 32 }, 1)
    expect(holds()).toBe(true)
    loop.reap()
    expect(holds()).toBe(false)
    loop.put(HANDLE, HANDLE, secret, handler)
    loop.withdraw()
    expect(holds()).toBe(false)
    expect(outcomes).toEqual(['done', 'withdrawn'])
  })

  it.each([
    ['a message too long', HANDLE, Buffer.alloc(113)],
    ['a handle of another size', HANDLE.subarray(4), Buffer.alloc(32)],
  ])('takes no request with %s', (_what, session, message) => {
    expect(new LaneRing().put(session, HANDLE, message, () => undefined)).toBe(false)
  })

  it('takes no more than it has room for, and again when it has', () => {
    const loop = new LaneRing()
    const thread = new LaneRing(loop.memory)
    let put = 0
    const fill = () => {
      while (loop.put(HANDLE, HANDLE, Buffer.alloc(32), () => undefined)) put += 1
    }
    fill()
    expect(put).toBe(64)
    const work = thread.next()
    if (work !== undefined) thread.done(work, { length: 32 }, 1)
    loop.reap()
    fill()
    expect(put).toBe(65)
  })
})

describe('the pace that takes the lane', () => {
  const busy = (pace: LanePace, operations = 256) => {
    let on = false
    for (let i = 0; i < operations; i += 1) on = pace.count()
    return on
  }

  it('is a thousand operations a second', () => {
    let now = 0
    const pace = new LanePace(() => now)
    expect(busy(pace, 255)).toBe(false)
    now = 256
    expect(pace.count()).toBe(true)
    now = 513
    expect(busy(pace)).toBe(false)
  })

  it('is left when calls take longer than threads would, not for a few that did', () => {
    const pace = new LanePace(() => 0)
    busy(pace)
    for (let i = 0; i < 1_000; i += 1) pace.took(i % 4 === 0 ? 1_000_000 : 100)
    expect(pace.on).toBe(true)
    for (let i = 0; i < 16; i += 1) pace.took(101)
    expect(pace.on).toBe(false)
  })

  it('is taken again after a pause that doubles each time, up to 64 s, and is short again after a steady time', () => {
    let now = 0
    const pace = new LanePace(() => now)
    const pauses: number[] = []
    for (let i = 0; i < 9; i += 1) {
      while (!busy(pace)) now += 100
      pace.leave()
      const left = now
      while (!busy(pace)) now += 100
      pauses.push(now - left)
      pace.leave()
      now = left + 200_000
    }
    expect(pauses.slice(0, 4)).toEqual([1_000, 4_000, 16_000, 64_000])
    expect(Math.max(...pauses)).toBe(64_000)
    while (!busy(pace)) now += 100
    now += 10_000
    pace.leave()
    const left = now
    while (!busy(pace)) now += 100
    expect(now - left).toBe(1_000)
  })
})

describe('a lane over a token', () => {
  let token: FreshToken

  beforeAll(async () => {
    token = await tokenWithKeys(ENC)
  })

  afterAll(async () => {
    await token[Symbol.asyncDispose]()
  })

  it.each([
    ['C_SignInit hang count=1', { right: 0, back: 7, failed: [] }],
    ['C_Sign hang count=1', { right: 0, back: 7, failed: [] }],
    ['C_SignInit return 0xb3 count=1', { right: 7, back: 1, failed: [] }],
    ['C_Sign return 0x80000001 count=1', { right: 7, back: 0, failed: ['C_Sign:2147483649'] }],
  ])('derives as without it; after %s', async (rule, expected) => {
    await using faulty = await Faulty.over(tokenOptions(token))
    const child = spawn(
      process.execPath,
      [
        fileURLToPath(new URL('lane-in-child.mjs', import.meta.url)),
        ...[faulty.token.module, token.label, token.pin, keyLabel(ENC)],
      ],
      { env: { ...process.env, ...faulty.token.env }, stdio: ['pipe', 'pipe', 'inherit'] },
    )
    try {
      const lines = createInterface(child.stdout)[Symbol.asyncIterator]()
      const next = async () => JSON.parse(String((await lines.next()).value)) as Record<string, number>
      expect(await next()).toEqual({ warm: true, same: true, tooLong: true })
      await faulty.rules(rule)
      child.stdin.write('\n')
      const settled = await next()
      expect(settled).toMatchObject({ wrong: 0, loop: true, refused: true, ...expected })
    } finally {
      child.kill('SIGKILL')
      await once(child, 'exit')
    }
  })

  it('is taken by a pool under load, and a call that hangs there costs its session and no operation', async () => {
    await using faulty = await Faulty.over(tokenOptions(token))
    await using observed = await ObservedPool.open(faulty.token, { hardTimeoutMs: 2_000 })
    await observed.allReady()
    const answers = await knownAnswers(observed.pool, ENC, 16)
    // The first answers have started all of libuv's threads: one more is the lane's.
    const pids = observed.readyAgents().map(({ pid }) => pid)
    const threads = async () => Promise.all(pids.map(async (pid) => (await readdir(`/proc/${pid}/task`)).length))
    const before = await threads()
    const hung = (async () => {
      while ((await threads()).some((count, index) => count <= (before[index] ?? 0))) {
        await observed.pool.hmac(ENC, [...answers.keys()][0] ?? Buffer.alloc(32))
      }
      await faulty.rules('C_Sign hang count=1')
      await observed.until(() => observed.count('hung') > 0)
    })()
    const load = await loadUntil(observed.pool, ENC, answers, 16, hung)
    expect(load).toMatchObject({ wrong: 0, failures: [] })
    expect(observed.pool.stats()).toMatchObject({ hung: 1, restarts: {} })
  })
})
