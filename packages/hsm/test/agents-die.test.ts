import { randomBytes } from 'node:crypto'
import { readFile, rename } from 'node:fs/promises'
import { join } from 'node:path'

import { type FreshToken, longTest } from '@sealfleet/testkit'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { openKeyAdmin } from '../src/admin/key-admin.js'
import { ENC, isAlive, knownAnswers, loadUntil, ObservedPool, SIG, tokenOptions, tokenWithKeys } from './helpers.js'
import { plantKey } from './plant-key.js'

const CALLERS = 16

describe('a pool whose agents or token go away', () => {
  let token: FreshToken

  beforeAll(async () => {
    token = await tokenWithKeys(ENC, SIG)
  })

  afterAll(async () => {
    await token[Symbol.asyncDispose]()
  })

  it('loses no operation and gives no wrong answer when an agent is killed under load', async () => {
    await using observed = await ObservedPool.open(tokenOptions(token))
    await observed.allReady()
    const answers = await knownAnswers(observed.pool, ENC, 16)
    const [first, second] = observed.readyAgents()
    const killed = (async () => {
      for (const agent of [first, second]) {
        const ready = observed.count('ready')
        process.kill(agent?.pid ?? NaN, 'SIGKILL')
        await observed.until(() => observed.count('ready') > ready)
      }
    })()
    const load = await loadUntil(observed.pool, ENC, answers, CALLERS, killed)
    expect(load).toMatchObject({ wrong: 0, failures: [] })
    expect(load.ok).toBeGreaterThan(CALLERS)
    observed.expectHealedBy({ died: 2 }, 4)
    expect(observed.pool.stats().replays).toBeGreaterThan(0)
  })

  longTest('replaces an agent that has grown too large when it is quiet, without losing an operation', async () => {
    await using observed = await ObservedPool.open(tokenOptions(token), { maxAgentRssBytes: 1 })
    await observed.allReady()
    const answers = await knownAnswers(observed.pool, ENC, 16)
    const replaced = observed.until(() => observed.count('restart', ({ reason }) => reason === 'memory') >= 3)
    const load = await loadUntil(observed.pool, ENC, answers, CALLERS, replaced)
    expect(load).toMatchObject({ wrong: 0, failures: [] })
  })

  longTest('keeps an agent’s memory within bounds over many operations', async () => {
    await using observed = await ObservedPool.open(tokenOptions(token), { agents: 1 })
    const message = randomBytes(32)
    const many = async (count: number) => {
      for (let done = 0; done < count; done += CALLERS) {
        await Promise.all(Array.from({ length: CALLERS }, () => observed.pool.hmac(ENC, message)))
      }
      return agentRss(observed.readyAgents()[0]?.pid ?? NaN)
    }
    const warm = await many(20_000)
    const after = await many(40_000)
    expect(after - warm).toBeLessThan(32 << 20)
  })

  longTest('takes new key versions into use, and leaves old ones, under load', async () => {
    await using observed = await ObservedPool.open(tokenOptions(token))
    await observed.allReady()
    const answers = await knownAnswers(observed.pool, ENC, 8)
    const rotation = (async () => {
      await using admin = await openKeyAdmin(tokenOptions(token))
      for (let version = 20; version < 24; version += 1) {
        const { ref, kcv } = await admin.generate({ ...ENC, version })
        observed.pool.expectCheckValue(ref, Buffer.from(kcv ?? '', 'hex'))
        const { keys } = await observed.pool.probe()
        expect(keys.at(-1)).toMatchObject({ state: 'ok' })
        const message = randomBytes(32)
        const fresh = await Promise.all(Array.from({ length: 8 }, () => observed.pool.hmac(ref, message)))
        expect(new Set(fresh.map((answer) => answer.toString('hex'))).size).toBe(1)
      }
    })()
    const load = await loadUntil(observed.pool, ENC, answers, 8, rotation)
    expect(load).toMatchObject({ wrong: 0, failures: [] })
    observed.expectHealedBy({}, 2)
  })

  it('notices a stopped agent by its heartbeat and replays what it had', async () => {
    await using observed = await ObservedPool.open(tokenOptions(token))
    await observed.allReady()
    const answers = await knownAnswers(observed.pool, ENC, 16)
    const [stopped] = observed.readyAgents()
    const replaced = (async () => {
      process.kill(stopped?.pid ?? NaN, 'SIGSTOP')
      await observed.until(() => observed.count('ready') > 2)
    })()
    const load = await loadUntil(observed.pool, ENC, answers, CALLERS, replaced)
    expect(load).toMatchObject({ wrong: 0, failures: [] })
    observed.expectHealedBy({ silent: 1 }, 3)
    expect(isAlive(stopped?.pid ?? NaN)).toBe(false)
  })

  it('says HSM_UNAVAILABLE while the token is away and heals by itself when it is back', async () => {
    const options = { restartIntervalMs: 300, deadlineMs: 2_000 }
    await using observed = await ObservedPool.open(tokenOptions(token), options)
    await observed.allReady()
    const answers = await knownAnswers(observed.pool, ENC, 4)
    const tokens = join(token.dir, 'tokens')
    await rename(tokens, `${tokens}.away`)
    try {
      let failure: unknown
      while (failure === undefined) {
        await observed.pool.hmac(ENC, randomBytes(32)).catch((error: unknown) => (failure = error))
      }
      expect(failure).toMatchObject({ code: 'HSM_UNAVAILABLE' })
      await expect(observed.pool.hmac(SIG, randomBytes(32))).rejects.toMatchObject({ code: 'HSM_UNAVAILABLE' })
    } finally {
      await rename(`${tokens}.away`, tokens)
    }
    await observed.allReady()
    await observed.until(() => observed.pool.health().ready)
    for (const [message, expected] of answers) {
      expect((await observed.pool.hmac(ENC, message)).equals(expected)).toBe(true)
    }
    expect(observed.count('login', ({ accepted }) => !accepted)).toBe(0)
  })

  it('says E_KEY_UNKNOWN for a key destroyed elsewhere while it is in use, and serves the others on', async () => {
    const doomed = { ...ENC, version: 5 }
    await using admin = await openKeyAdmin(tokenOptions(token))
    await admin.generate(doomed)
    await using observed = await ObservedPool.open(tokenOptions(token))
    await observed.allReady()
    const answers = await knownAnswers(observed.pool, ENC, 4)
    const doomedAnswers = await knownAnswers(observed.pool, doomed, 4)
    const destroyed = admin.destroy(doomed)
    const [other, load] = await Promise.all([
      loadUntil(observed.pool, ENC, answers, 4, destroyed),
      loadUntil(observed.pool, doomed, doomedAnswers, 4, destroyed),
    ])
    await expect(observed.pool.hmac(doomed, randomBytes(32))).rejects.toMatchObject({ code: 'E_KEY_UNKNOWN' })
    expect(other).toMatchObject({ wrong: 0, failures: [] })
    expect(load.wrong).toBe(0)
    for (const failure of load.failures) expect(failure).toMatchObject({ code: 'E_KEY_UNKNOWN' })
    // Agents stay as they are; anyone who logged in was a fresh process that looked for the key.
    const { restarts, logins, rejectedLogins } = observed.pool.stats()
    expect({ restarts, rejectedLogins }).toEqual({ restarts: {}, rejectedLogins: 0 })
    expect(logins).toBeGreaterThanOrEqual(3)
  })

  longTest('uses neither of two keys with one label, and the right one again when the other is gone', async () => {
    const twice = { ...ENC, version: 6 }
    await using admin = await openKeyAdmin(tokenOptions(token))
    const { ckaId } = await admin.generate(twice)
    await using observed = await ObservedPool.open(tokenOptions(token), { agents: 1 })
    await expect(observed.pool.hmac(twice, randomBytes(32))).resolves.toHaveLength(32)
    await plantKey(token, 'sealfleet/default/enc/s1/6')
    await using later = await ObservedPool.open(tokenOptions(token), { agents: 1 })
    await expect(later.pool.hmac(twice, randomBytes(32))).rejects.toMatchObject({ code: 'KEY_MISMATCH' })
    const listed = (await admin.list()).filter(({ label }) => label === 'sealfleet/default/enc/s1/6')
    expect(listed).toHaveLength(2)
    for (const key of listed) if (key.ckaId !== ckaId) await admin.destroy(twice, { ckaId: key.ckaId })
    await expect(later.pool.hmac(twice, randomBytes(32))).resolves.toHaveLength(32)
    later.expectHealedBy({}, 1)
  })

  it('blocks a wrong key under the right label, on every agent, by the check value first seen', async () => {
    const replaced = { ...ENC, version: 8 }
    await using admin = await openKeyAdmin(tokenOptions(token))
    await admin.generate(replaced)
    await using observed = await ObservedPool.open(tokenOptions(token))
    await observed.allReady()
    await expect(observed.pool.hmac(replaced, randomBytes(32))).resolves.toHaveLength(32)
    await admin.destroy(replaced)
    await admin.generate(replaced)
    for (let i = 0; i < 4; i += 1) {
      await expect(observed.pool.hmac(replaced, randomBytes(32))).rejects.toMatchObject({ code: 'KEY_MISMATCH' })
    }
    observed.expectHealedBy({}, 2)
  })
})

/** Resident bytes by /proc. */
async function agentRss(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'latin1')
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) * 1024
}
