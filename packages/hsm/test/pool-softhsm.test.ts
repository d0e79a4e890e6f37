import { randomBytes } from 'node:crypto'
import { setMaxListeners } from 'node:events'

import { nonceAad, secrets, wipe } from '@sealfleet/format'
import type { FreshToken } from '@sealfleet/testkit'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import type { HsmPool } from '../src/pool/hsm-pool.js'
import { HsmBusy } from '../src/errors/hsm-error.js'
import { ENC, KEK, ObservedPool, SIG, tokenOptions, tokenWithKeys } from './helpers.js'

const SUITE_2 = { ...ENC, suite: 2, version: 2 } as const
const AAD = nonceAad({
  suite: 1,
  fileId: '0190b3c0-0000-7000-8000-000000000001',
  attemptId: '0190b3c0-0000-7000-8000-000000000002',
  encKeyVersion: 1,
  sigKeyVersion: 1,
  keyDomain: 'default',
})

describe('a pool over SoftHSM', () => {
  let token: FreshToken
  let observed: ObservedPool
  let pool: HsmPool

  beforeAll(async () => {
    token = await tokenWithKeys(ENC, SIG, KEK, SUITE_2)
    observed = await ObservedPool.open(tokenOptions(token))
    pool = observed.pool
    await observed.allReady()
  })

  afterAll(async () => {
    await observed[Symbol.asyncDispose]()
    await token[Symbol.asyncDispose]()
  })

  it('derives the same 32 bytes on every session and agent, others for other keys and messages', async () => {
    const message = randomBytes(32)
    const answers = await Promise.all(Array.from({ length: 48 }, () => pool.hmac(ENC, message)))
    const distinct = new Set(answers.map((answer) => answer.toString('hex')))
    expect(distinct.size).toBe(1)
    expect(answers[0]).toHaveLength(32)
    const others = [await pool.hmac(SIG, message), await pool.hmac(ENC, randomBytes(32))]
    for (const other of others) expect(distinct.has(other.toString('hex'))).toBe(false)
  })

  it('hands out slots of the arena that no one else has', async () => {
    const message = randomBytes(32)
    const [first, second] = await Promise.all([pool.hmac(ENC, message), pool.hmac(ENC, message)])
    expect([first, second].map((derived) => secrets.holds(derived))).toEqual([true, true])
    const expected = Buffer.from(second)
    wipe(first)
    expect(second.equals(expected)).toBe(true)
    expect((await pool.hmac(ENC, message)).equals(expected)).toBe(true)
  })

  it('wraps nonces into 92 bytes with a fresh iv, and opens them again', async () => {
    const nonces = randomBytes(64)
    const [first, second] = [await pool.wrap(KEK, nonces, AAD), await pool.wrap(KEK, nonces, AAD)]
    expect(first).toHaveLength(92)
    expect(first.subarray(0, 12).equals(second.subarray(0, 12))).toBe(false)
    expect((await pool.unwrap(KEK, first, AAD)).equals(nonces)).toBe(true)
    expect((await pool.unwrap(KEK, second, AAD)).equals(nonces)).toBe(true)
  })

  it('refuses a changed record, other data or a wrong length with E_NONCE_UNWRAP, and goes on', async () => {
    const nonces = randomBytes(64)
    const wrapped = await pool.wrap(KEK, nonces, AAD)
    const otherAad = Buffer.from(AAD)
    otherAad[20] = (otherAad[20] ?? 0) ^ 1
    for (const at of [0, 12, 50, 91]) {
      const changed = Buffer.from(wrapped)
      changed[at] = (changed[at] ?? 0) ^ 0x80
      await expect(pool.unwrap(KEK, changed, AAD)).rejects.toMatchObject({ code: 'E_NONCE_UNWRAP' })
    }
    await expect(pool.unwrap(KEK, wrapped, otherAad)).rejects.toMatchObject({ code: 'E_NONCE_UNWRAP' })
    await expect(pool.unwrap(KEK, wrapped.subarray(1), AAD)).rejects.toMatchObject({ code: 'E_NONCE_UNWRAP' })
    expect((await pool.unwrap(KEK, wrapped, AAD)).equals(nonces)).toBe(true)
    expect(observed.count('restart')).toBe(0)
  })

  it.each([
    ['31 bytes', ENC, randomBytes(31)],
    ['33 bytes', ENC, randomBytes(33)],
    ['nothing', ENC, Buffer.alloc(0)],
    ['the message of the check value', ENC, Buffer.from('SFV1-KCV-v1')],
    ['a suite 1 input under a suite 2 key', SUITE_2, randomBytes(32)],
    ['106 bytes without the label', SUITE_2, randomBytes(106)],
    ['anything under a KEK', KEK, randomBytes(32)],
    ['a digest under the audit key', { ...ENC, role: 'audit' } as const, randomBytes(32)],
  ])('refuses %s before the token sees it', async (_name, key, message) => {
    const before = observed.events.length
    await expect(pool.hmac(key, message)).rejects.toBeInstanceOf(TypeError)
    expect(observed.events.length).toBe(before)
  })

  it('refuses data that are not a pair of nonces before the token sees them', async () => {
    await expect(pool.wrap(KEK, randomBytes(63), AAD)).rejects.toBeInstanceOf(TypeError)
    await expect(pool.wrap(KEK, randomBytes(64), randomBytes(74))).rejects.toBeInstanceOf(TypeError)
    await expect(pool.hmac({ ...ENC, domain: '../x' }, randomBytes(32))).rejects.toBeInstanceOf(TypeError)
    await expect(pool.hmac({ ...ENC, version: 0 }, randomBytes(32))).rejects.toBeInstanceOf(TypeError)
  })

  it('says E_KEY_UNKNOWN for a key that a fresh process does not find either, without losing an agent', async () => {
    const absent = { ...ENC, version: 77 }
    const asked = Array.from({ length: 4 }, () => pool.hmac(absent, randomBytes(32)))
    for (const answer of await Promise.allSettled(asked)) {
      expect(answer).toMatchObject({ status: 'rejected', reason: { code: 'E_KEY_UNKNOWN' } })
    }
    expect(observed.count('restart')).toBe(0)
  })

  it('compares an expected check value before the first use, and again at a probe', async () => {
    const kcv = await pool.keyCheckValue(SIG)
    expect(kcv).toHaveLength(8)
    const wrong = Buffer.from(kcv)
    wrong[0] = (wrong[0] ?? 0) ^ 1
    pool.expectCheckValue(SIG, wrong)
    await expect(pool.hmac(SIG, randomBytes(32))).rejects.toMatchObject({ code: 'KEY_MISMATCH' })
    expect((await pool.probe()).keys).toMatchObject([{ label: 'sealfleet/default/sig/s1/1', state: 'mismatch' }])
    pool.expectCheckValue(SIG, kcv)
    await expect(pool.hmac(SIG, randomBytes(32))).resolves.toHaveLength(32)
    expect((await pool.probe()).keys).toMatchObject([{ state: 'ok' }])
  })

  it('gives an aborted call up at once, whether it runs or waits', async () => {
    const aborted = AbortSignal.abort(new Error('stop'))
    await expect(pool.hmac(ENC, randomBytes(32), { signal: aborted })).rejects.toThrow('stop')
    const controller = new AbortController()
    setMaxListeners(40, controller.signal)
    const calls = Array.from({ length: 40 }, () => pool.hmac(ENC, randomBytes(32), { signal: controller.signal }))
    controller.abort(new Error('enough'))
    for (const call of await Promise.allSettled(calls)) {
      expect(call).toMatchObject({ status: 'rejected', reason: { message: 'enough' } })
    }
    await expect(pool.hmac(ENC, randomBytes(32))).resolves.toHaveLength(32)
  })

  it('answers HSM_BUSY at once when all sessions and waiting places are taken', async () => {
    const calls = Array.from({ length: 2 * 8 + 4 * 8 + 1 }, () => pool.hmac(ENC, randomBytes(32)))
    const results = await Promise.allSettled(calls)
    const busy = results.filter((result) => result.status === 'rejected')
    // Exactly one more than fits, or a few more while an agent or a session is being replaced.
    expect(busy.length).toBeGreaterThanOrEqual(1)
    for (const { reason } of busy) {
      expect(reason).toBeInstanceOf(HsmBusy)
      expect(reason).toMatchObject({ code: 'HSM_BUSY' })
    }
  })
})
