import { Faulty, type FreshToken } from '@sealfleet/testkit'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'

import { HsmPool } from '../src/pool/hsm-pool.js'
import type { TokenOptions } from '../src/options.js'
import { FAULT_ROWS } from './fault-rows.js'
import { ENC, knownAnswers, ObservedPool, tallyOf, tokenOptions, tokenWithKeys } from './helpers.js'

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

  it.each(FAULT_ROWS)('$fault', async ({ rule, restarts = {}, logins = 0, hung = 0, options = {} }) => {
    await using observed = await ObservedPool.open(faulty.token, options)
    await observed.allReady()
    // Both agents have found the key: what follows is the fault and nothing else.
    await Promise.all([...answers.keys()].map((message) => observed.pool.hmac(ENC, message)))
    const before = await faulty.calls('C_Login')
    await faulty.rules(rule)
    expect(await tallyOf(observed.pool, ENC, answers)).toEqual({ right: 16, wrong: 0, failed: [] })
    expect(await faulty.hits()).toBeGreaterThan(0)
    const expected = Object.values(restarts).reduce((sum, count) => sum + count, 0)
    await observed.until(() => observed.count('ready') >= 2 + expected)
    expect(observed.pool.stats()).toMatchObject({ hung })
    expect(observed.pool.stats().restarts).toEqual(restarts)
    expect((await faulty.calls('C_Login')) - before).toBe(logins)
    await faulty.rules()
    expect(await tallyOf(observed.pool, ENC, answers)).toEqual({ right: 16, wrong: 0, failed: [] })
    expect(observed.readyAgents()).toHaveLength(2)
  })
})
