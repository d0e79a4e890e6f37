import { Faulty, type FreshToken } from '@sealfleet/testkit'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'

import { HsmPool, type PoolOptions, type RestartReason, type TokenOptions } from '../src/index.js'
import { ENC, knownAnswers, ObservedPool, tallyOf, tokenOptions, tokenWithKeys } from './helpers.js'

/**
 * What goes wrong once, under 16 operations, and how it ends: every operation is answered rightly, and healing takes exactly
 * these restarts of agents and calls of C_Login. The damage is real where a rule says so (C_Logout, C_CloseAllSessions,
 * C_Finalize). Faults with a longer story have tests of their own; docs/HSM.md names the test of each.
 */
interface Row {
  readonly fault: string
  readonly rule: string
  readonly restarts?: Readonly<Partial<Record<RestartReason, number>>>
  readonly logins?: number
  /** Sessions lost for good, until their agent is replaced. */
  readonly hung?: number
  readonly options?: Partial<PoolOptions>
}

const ROWS: readonly Row[] = [
  { fault: 'DEVICE_ERROR once', rule: 'C_Sign return 0x30 count=1', restarts: { error: 1 }, logins: 1 },
  { fault: 'FUNCTION_FAILED twice', rule: 'C_Sign return 0x06 count=2' },
  { fault: 'GENERAL_ERROR once', rule: 'C_Sign return 0x05 count=1' },
  { fault: 'SESSION_HANDLE_INVALID once', rule: 'C_SignInit return 0xb3 count=1' },
  { fault: 'a stale key handle', rule: 'C_SignInit return 0x82 count=1' },
  { fault: 'login lost', rule: 'C_SignInit logout count=1', logins: 1 },
  { fault: 'all sessions closed', rule: 'C_SignInit closeall count=1', logins: 1 },
  { fault: 'module finalized', rule: 'C_SignInit finalize count=1', restarts: { error: 1 }, logins: 1 },
  { fault: 'module aborts', rule: 'C_Sign abort count=1', restarts: { died: 1 }, logins: 1 },
  { fault: 'C_Sign hangs once', rule: 'C_Sign hang count=1', hung: 1 },
  {
    fault: 'C_SignInit hangs, which blocks the agent’s loop',
    rule: 'C_SignInit hang count=1',
    restarts: { silent: 1 },
    logins: 1,
    options: { hardTimeoutMs: 60_000 },
  },
  {
    fault: '800 ms on 30 % of the calls',
    rule: 'C_Sign delay 800 percent=30',
    options: { hardTimeoutMs: 5_000 },
  },
  { fault: 'an HMAC of 0 bytes', rule: 'C_Sign length 0 count=1', restarts: { error: 1 }, logins: 1 },
  { fault: 'an HMAC of 31 bytes', rule: 'C_Sign length 31 count=1', restarts: { error: 1 }, logins: 1 },
  { fault: 'an HMAC of 33 bytes', rule: 'C_Sign length 33 count=1', restarts: { error: 1 }, logins: 1 },
]

describe('a fault once, under 16 operations', () => {
  let token: FreshToken
  let faulty: Faulty<TokenOptions>
  let answers: Map<Buffer, Buffer>

  beforeAll(async () => {
    token = await tokenWithKeys(ENC)
    faulty = await Faulty.over(tokenOptions(token))
    await using pool = await HsmPool.open({ tokens: [tokenOptions(token)], agents: 1 })
    answers = await knownAnswers(pool, ENC, 16)
  })

  afterEach(async () => {
    await faulty.rules()
  })

  afterAll(async () => {
    await faulty?.[Symbol.asyncDispose]()
    await token?.[Symbol.asyncDispose]()
  })

  it.each(ROWS)('$fault', async ({ rule, restarts = {}, logins = 0, hung = 0, options = {} }) => {
    const settings = { hardTimeoutMs: 1_500, softTimeoutMs: 300, ...options }
    await using observed = await ObservedPool.open(faulty.token, settings)
    await observed.allReady()
    // Both agents have found the key: what follows is the fault and nothing else.
    await Promise.all([...answers.keys()].map((message) => observed.pool.hmac(ENC, message)))
    const before = await faulty.calls('C_Login')
    await faulty.rules(rule)
    expect(await tallyOf(observed.pool, ENC, answers)).toEqual({ right: 16, wrong: 0, failed: [] })
    expect(await faulty.hits()).toBeGreaterThan(0)
    const expected = Object.values(restarts).reduce((sum, count) => sum + count, 0)
    await observed.until(() => observed.count('ready') === 2 + expected)
    expect(observed.pool.stats()).toMatchObject({ hung })
    expect(observed.pool.stats().restarts).toEqual(restarts)
    expect((await faulty.calls('C_Login')) - before).toBe(logins)
    await faulty.rules()
    expect(await tallyOf(observed.pool, ENC, answers)).toEqual({ right: 16, wrong: 0, failed: [] })
    expect(observed.readyAgents()).toHaveLength(2)
  })
})
