import type { FreshToken } from '@sealfleet/testkit'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'

import { HsmPool } from '../src/pool/hsm-pool.js'
import { ENC, knownAnswers, loadUntil, ObservedPool, tallyOf, tokenOptions, tokenWithKeys } from './helpers.js'
import { RemoteToken, remoteAbsent } from './remote-token.js'

/** Between the module and the token lies a socket: p11-kit's client and server, in front of SoftHSM. */
describe('a network between module and token', () => {
  let token: FreshToken
  let remote: RemoteToken
  let answers: Map<Buffer, Buffer>

  beforeAll(async () => {
    expect(remoteAbsent()).toBeUndefined()
    token = await tokenWithKeys(ENC)
    await using pool = await HsmPool.open({ tokens: [tokenOptions(token)], agents: 1 })
    answers = await knownAnswers(pool, ENC, 16)
    remote = await RemoteToken.over(token)
  })

  afterAll(async () => {
    await remote?.[Symbol.asyncDispose]()
    await token?.[Symbol.asyncDispose]()
  })

  let observed: ObservedPool
  beforeEach(async () => {
    observed = await ObservedPool.open(remote.options, {
      restartIntervalMs: 300,
      deadlineMs: 4_000,
      hardTimeoutMs: 1_500,
    })
    await observed.allReady()
    await Promise.all([...answers.keys()].map((message) => observed.pool.hmac(ENC, message)))
    return async () => observed[Symbol.asyncDispose]()
  })

  const sixteen = () => tallyOf(observed.pool, ENC, answers)

  /** Every failure is an outage, until the pool is ready and all are right again. */
  async function heals(): Promise<void> {
    await observed.allReady()
    await observed.until(() => observed.pool.health().ready)
    expect(await sixteen()).toEqual({ right: 16, wrong: 0, failed: [] })
    expect(observed.count('login', ({ accepted }) => !accepted)).toBe(0)
  }

  it('under load nothing fails and no agent is replaced', async () => {
    const many = observed.until(() => observed.count('operation') >= 5_000)
    expect(await loadUntil(observed.pool, ENC, answers, 16, many)).toMatchObject({ wrong: 0, failures: [] })
    expect([observed.count('error'), observed.count('restart')]).toEqual([0, 0])
  })

  it('one connection stalls: the other agent answers, nothing is lost, one restart and one login', async () => {
    const replaced = observed.until(() => observed.count('ready') >= 3)
    const resume = await remote.stallOne()
    const load = await loadUntil(observed.pool, ENC, answers, 8, replaced)
    resume()
    expect(load).toMatchObject({ wrong: 0, failures: [] })
    expect(observed.count('restart')).toBe(1)
    expect(observed.pool.stats().logins).toBe(3)
    await heals()
  })

  it('the whole network stalls: HSM_UNAVAILABLE and no hang; heals by itself when it flows again', async () => {
    remote.stall()
    const during = await sixteen()
    expect(new Set(during.failed)).toEqual(new Set(['HSM_UNAVAILABLE']))
    expect(during).toMatchObject({ right: 0, wrong: 0 })
    await observed.until(() => observed.count('restart') >= 2)
    remote.resume()
    await heals()
  })

  it('connections are reset and no one listens: HSM_UNAVAILABLE; heals by itself when the server is back', async () => {
    await remote.kill()
    const during = await sixteen()
    expect(during).toMatchObject({ right: 0, wrong: 0 })
    for (const code of during.failed) expect(['HSM_UNAVAILABLE', 'HSM_SESSION_LOST']).toContain(code)
    await remote.start()
    await heals()
  })
})
