import { randomBytes } from 'node:crypto'

import { longTest, Faulty, type FreshToken } from '@sealfleet/testkit'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'

import { HsmPool } from '../src/pool/hsm-pool.js'
import { memoryPinLockout } from '../src/pool/pin-lockout.js'
import type { PinLockout } from '../src/pool/pin-lockout.js'
import type { PoolOptions, TokenOptions } from '../src/options.js'
import {
  ENC,
  isAlive,
  KEK,
  knownAnswers,
  ObservedPool,
  SIG,
  tallyOf,
  tokenOptions,
  tokenWithKeys,
  type Tally,
} from './helpers.js'

/** Faults that take more than a row of the matrix: at a start, for good, in what comes out, at the end. The module is SoftHSM. */
describe('faults of the module', () => {
  let token: FreshToken
  let faulty: Faulty<TokenOptions>
  let answers: Map<Buffer, Buffer>

  beforeAll(async () => {
    token = await tokenWithKeys(ENC, SIG, KEK)
    faulty = await Faulty.over(tokenOptions(token))
    await using pool = await HsmPool.open({ tokens: [tokenOptions(token)], agents: 1 })
    answers = await knownAnswers(pool, ENC, 16)
  })

  afterEach(async () => {
    await faulty.rules()
  })

  afterAll(async () => {
    await faulty[Symbol.asyncDispose]()
    await token[Symbol.asyncDispose]()
  })

  async function openFaulty(options: Partial<PoolOptions> = {}): Promise<ObservedPool> {
    const observed = await ObservedPool.open(faulty.token, options)
    await observed.allReady(options.agents ?? 2)
    // Both agents have found the key: what follows is the fault and nothing else.
    await Promise.all([...answers.keys()].map((message) => observed.pool.hmac(ENC, message)))
    return observed
  }

  const sixteen = (pool: HsmPool) => tallyOf(pool, ENC, answers)

  const few = (from: number, to: number) => new Map([...answers].slice(from, to))

  const FOUR_RIGHT = { right: 4, wrong: 0, failed: [] }
  const ALL_RIGHT = { right: 16, wrong: 0, failed: [] }

  it.each([
    ['the login is lost', 'C_SignInit logout count=1'],
    ['all sessions are closed', 'C_SignInit closeall count=1'],
  ])(
    '%s, and operations come while the PIN lockout is asked: exactly one C_Login, all answered',
    async (_what, rule) => {
      const fleet = memoryPinLockout()
      let late: Promise<Tally> | undefined
      // The second login has to wait, as it may for a lockout in a database, until the agent has looked for its key in vain.
      const lockout: PinLockout = {
        guard: (id, login) =>
          fleet.guard(id, async () => {
            if (late !== undefined || (await faulty.hits()) === 0) return login()
            const searched = await faulty.calls('C_FindObjects')
            late = tallyOf(observed.pool, ENC, few(4, 8))
            await expect.poll(() => faulty.calls('C_FindObjects')).toBeGreaterThan(searched)
            return login()
          }),
      }
      await using observed = await openFaulty({ agents: 1, lockout })
      const before = await faulty.calls('C_Login')
      await faulty.rules(rule)
      expect(await tallyOf(observed.pool, ENC, few(0, 4))).toEqual(FOUR_RIGHT)
      expect(await late).toEqual(FOUR_RIGHT)
      observed.expectHealedBy({}, 2)
      expect(observed.pool.stats().replays).toBe(0)
      expect((await faulty.calls('C_Login')) - before).toBe(1)
    },
  )

  longTest('C_Sign hangs on a quarter of the sessions: the agent is killed', async () => {
    await using observed = await openFaulty({ hardTimeoutMs: 1_500 })
    await faulty.rules('C_Sign hang count=4')
    const tally = await sixteen(observed.pool)
    expect(tally).toMatchObject({ wrong: 0 })
    await observed.until(() => observed.count('restart', ({ reason }) => reason === 'hung') >= 1)
    await observed.until(() => observed.readyAgents().length >= 2)
    expect(await sixteen(observed.pool)).toEqual(ALL_RIGHT)
    await observed.until(() => observed.readyAgents().length >= 2)
    const { restarts, logins } = observed.pool.stats()
    expect(restarts).toEqual({ hung: logins - 2 })
  })

  it('C_Login answers GENERAL_ERROR once: logs in at the second try, nothing restarted', async () => {
    const before = await faulty.calls('C_Login')
    await faulty.rules('C_Login return 0x5 count=1')
    await using observed = await ObservedPool.open(faulty.token, { agents: 1 })
    expect((await faulty.calls('C_Login')) - before).toBe(2)
    observed.expectHealedBy({}, 2)
    expect(await sixteen(observed.pool)).toEqual(ALL_RIGHT)
  })

  longTest('C_Login answers GENERAL_ERROR for good: two tries, then HSM_UNAVAILABLE', async () => {
    const before = await faulty.calls('C_Login')
    await faulty.rules('C_Login return 0x5')
    await expect(HsmPool.open({ tokens: [faulty.token], agents: 1 })).rejects.toMatchObject({
      code: 'HSM_UNAVAILABLE',
      ckr: 5,
    })
    expect((await faulty.calls('C_Login')) - before).toBe(2)
  })

  it('C_Login hangs: the start is given up, and the next one works', async () => {
    const before = await faulty.calls('C_Login')
    await faulty.rules('C_Login hang count=1')
    const options = { startTimeoutMs: 6_000, restartIntervalMs: 200, startWithoutToken: true }
    await using observed = await ObservedPool.open(faulty.token, options)
    await observed.allReady()
    expect(observed.pool.stats().restarts).toEqual({ 'failed-start': 1 })
    expect((await faulty.calls('C_Login')) - before).toBe(3)
    expect(await sixteen(observed.pool)).toEqual(ALL_RIGHT)
  })

  longTest('800 ms on a third of the calls: slow and reported, nothing lost or replaced', async () => {
    await using observed = await openFaulty({ softTimeoutMs: 300 })
    await faulty.rules('C_Sign delay 800 percent=30')
    for (let round = 0; round < 3; round += 1) expect(await sixteen(observed.pool)).toEqual(ALL_RIGHT)
    observed.expectHealedBy({}, 2)
    expect(observed.pool.stats()).toMatchObject({ replays: 0, hung: 0 })
    expect(observed.count('slow')).toBeGreaterThan(0)
  })

  it('SESSION_COUNT after three: serves with two sessions beside the anchor, and says so', async () => {
    const before = await faulty.calls('C_Login')
    await faulty.rules('C_OpenSession return 0xb1 skip=3')
    await using observed = await ObservedPool.open(faulty.token, { agents: 1 })
    expect(observed.events).toContainEqual({ type: 'capacity', agent: 0, sessions: 2, wanted: 8, token: 'primary' })
    expect(observed.pool.health().agents).toMatchObject([{ sessions: 2 }])
    expect(await sixteen(observed.pool)).toEqual(ALL_RIGHT)
    observed.expectHealedBy({}, 1)
    expect((await faulty.calls('C_Login')) - before).toBe(1)
  })

  it('a rejected PIN: one C_Login by a whole fleet that shares its lockout', async () => {
    const before = await faulty.calls('C_Login')
    await faulty.rules('C_Login return 0xa0')
    const lockout = memoryPinLockout()
    const fleet = Array.from({ length: 3 }, () => HsmPool.open({ tokens: [faulty.token], lockout }))
    for (const outcome of await Promise.allSettled(fleet)) {
      expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'HSM_ACCESS_DENIED' } })
    }
    expect(await faulty.calls('C_Login')).toBe(before + 1)
  })

  it('a flipped HMAC: found by deriving again on the other agent, both agents replaced', async () => {
    await using observed = await openFaulty()
    const [[message, expected] = [Buffer.alloc(32), Buffer.alloc(32)]] = answers
    await faulty.rules('C_Sign flip count=1')
    expect((await observed.pool.hmac(ENC, message)).equals(expected)).toBe(false)
    await faulty.rules('C_Sign flip count=1')
    const sealing = observed.pool.confirmed()
    await expect(sealing.hmac(ENC, message)).rejects.toMatchObject({ code: 'HSM_UNAVAILABLE' })
    await observed.until(() => observed.count('ready') >= 4)
    expect(Buffer.from(await sealing.hmac(ENC, message)).equals(expected)).toBe(true)
    observed.expectHealedBy({ error: 2 }, 4)
    expect(observed.pool.stats()).toMatchObject({ disagreements: 1 })
  })

  longTest('a flipped bit in wrapped nonces: found by opening them again', async () => {
    await using observed = await openFaulty()
    const [nonces, aad] = [randomBytes(64), Buffer.alloc(74)]
    aad.write('SFV1/nonces')
    const sealing = observed.pool.confirmed()
    await faulty.rules('C_Encrypt flip count=1')
    await expect(sealing.wrap(KEK, nonces, aad)).rejects.toMatchObject({ code: 'HSM_UNAVAILABLE' })
    const wrapped = await sealing.wrap(KEK, nonces, aad)
    expect(Buffer.from(await sealing.unwrap(KEK, wrapped, aad)).equals(nonces)).toBe(true)
    await observed.until(() => observed.count('ready') >= 4)
    observed.expectHealedBy({ error: 2 }, 4)
    expect(observed.pool.stats()).toMatchObject({ disagreements: 1 })
  })

  it('a flipped check value: not taken for a wrong key', async () => {
    await faulty.rules('C_Sign flip count=1')
    await using observed = await ObservedPool.open(faulty.token)
    await observed.allReady()
    expect(await sixteen(observed.pool)).toEqual(ALL_RIGHT)
    await observed.until(() => observed.count('ready') >= 3)
    await faulty.rules('C_Sign flip count=1')
    await expect(observed.pool.keyCheckValue(ENC)).resolves.toHaveLength(8)
    await observed.until(() => observed.count('ready') >= 4)
    observed.expectHealedBy({ error: 2 }, 4)
  })

  it('DEVICE_ERROR for good: HSM_UNAVAILABLE, the breaker opens; it closes by itself when the device is back', async () => {
    await using observed = await openFaulty({ restartIntervalMs: 300, deadlineMs: 3_000 })
    await faulty.rules('C_Sign return 0x30', 'C_Login return 0x30')
    while (observed.pool.health().breaker === 'closed') {
      const tally = await sixteen(observed.pool)
      expect(new Set(tally.failed)).toEqual(new Set(['HSM_UNAVAILABLE']))
    }
    await faulty.rules()
    await observed.until(() => observed.pool.health().ready)
    expect(await sixteen(observed.pool)).toEqual(ALL_RIGHT)
  })

  it('a module that refuses the mechanism: HSM_ACCESS_DENIED, nothing restarted', async () => {
    await using observed = await openFaulty()
    await faulty.rules('C_SignInit return 0x70')
    await expect(observed.pool.hmac(ENC, randomBytes(32))).rejects.toMatchObject({
      code: 'HSM_ACCESS_DENIED',
      ckr: 0x70,
    })
    observed.expectHealedBy({}, 2)
  })

  longTest('the pool closed with a call that hangs: ends, and leaves no process', async () => {
    const observed = await openFaulty({ hardTimeoutMs: 60_000, softTimeoutMs: 300 })
    const pids = observed.readyAgents().map(({ pid }) => pid)
    await faulty.rules('C_Sign hang count=1')
    const hanging = sixteen(observed.pool)
    await observed.until(() => observed.count('slow') >= 1)
    await observed[Symbol.asyncDispose]()
    expect(await hanging).toEqual({ right: 15, wrong: 0, failed: ['HSM_UNAVAILABLE'] })
    for (const pid of pids) expect(isAlive(pid)).toBe(false)
  })
})
