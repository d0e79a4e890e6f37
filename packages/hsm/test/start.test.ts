import { randomBytes } from 'node:crypto'
import { chmodSync, writeFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { freshToken, type FreshToken } from '@sealfleet/testkit'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { HsmPool } from '../src/pool/hsm-pool.js'
import { memoryPinLockout } from '../src/pool/pin-lockout.js'
import { openKeyAdmin } from '../src/admin/key-admin.js'
import type { HsmEvent } from '../src/events.js'
import type { PoolOptions, TokenOptions } from '../src/options.js'
import { ENC, ObservedPool, tokenOptions, tokenWithKeys } from './helpers.js'
import { initToken } from './init-token.js'

/** Opens a pool that must not open, and gives back why, with the logins that were made. */
async function failToOpen(token: TokenOptions, options: Partial<PoolOptions> = {}) {
  const logins: boolean[] = []
  const onEvent = (event: HsmEvent) => {
    if (event.type === 'login') logins.push(event.accepted)
  }
  const failure: unknown = await HsmPool.open({ tokens: [token], onEvent, ...options }).then(
    async (pool) => {
      await pool.close()
      return 'it opened'
    },
    (error: unknown) => error,
  )
  return { failure, logins }
}

describe('starting a pool', () => {
  let token: FreshToken

  beforeAll(async () => {
    token = await tokenWithKeys(ENC)
  })

  afterAll(async () => {
    await token[Symbol.asyncDispose]()
  })

  it('takes a PIN from a file with a newline at its end, or as bytes', async () => {
    const path = join(token.dir, 'pin-with-newline')
    await writeFile(path, `${token.pin}\n`, { mode: 0o600 })
    await using fromFile = await HsmPool.open({ tokens: [tokenOptions(token, { pin: { kind: 'file', path } })] })
    await expect(fromFile.hmac(ENC, randomBytes(32))).resolves.toHaveLength(32)
    const pin = { kind: 'value', value: Buffer.from(token.pin) } as const
    await using fromBytes = await HsmPool.open({ tokens: [tokenOptions(token, { pin })] })
    await expect(fromBytes.hmac(ENC, randomBytes(32))).resolves.toHaveLength(32)
  })

  it('tries a wrong PIN exactly once, and never again under the same lockout', async () => {
    const lockout = memoryPinLockout()
    const wrong = tokenOptions(token, { pin: { kind: 'value', value: Buffer.from('99999999') } })
    const first = await failToOpen(wrong, { lockout })
    expect(first.failure).toMatchObject({ code: 'HSM_ACCESS_DENIED', ckr: 0xa0, fn: 'C_Login' })
    expect(first.failure).toHaveProperty('fix', expect.stringContaining('PIN'))
    expect(first.logins).toEqual([false])
    const second = await failToOpen(wrong, { lockout })
    expect(second.failure).toMatchObject({ code: 'HSM_ACCESS_DENIED' })
    expect(second.logins).toEqual([])
    await expect(openKeyAdmin(wrong, { lockout })).rejects.toMatchObject({ code: 'HSM_ACCESS_DENIED' })
    const corrected = await failToOpen(tokenOptions(token, { pinId: 'corrected' }), { lockout })
    expect(corrected.failure).toBe('it opened')
  })

  it('lets the agents that run go on when the PIN is changed, and is locked out at the first restart', async () => {
    const own = await tokenWithKeys(ENC)
    try {
      await using observed = await ObservedPool.open(tokenOptions(own), { restartIntervalMs: 200 })
      await observed.allReady()
      await writeFile(own.pinFile, '00000000')
      const [victim] = observed.readyAgents()
      process.kill(victim?.pid ?? NaN, 'SIGKILL')
      await observed.until(() => observed.count('locked-out') >= 1)
      await observed.until(() => observed.count('restart', ({ reason }) => reason === 'failed-start') >= 3)
      expect(observed.count('login', ({ accepted }) => !accepted)).toBe(1)
      await expect(observed.pool.hmac(ENC, randomBytes(32))).resolves.toHaveLength(32)
    } finally {
      await own[Symbol.asyncDispose]()
    }
  })

  it.each<[string, (token: FreshToken) => TokenOptions, object, string]>([
    [
      'a missing module',
      (t) => tokenOptions(t, { module: '/nonexistent/libpkcs11.so' }),
      { code: 'HSM_ACCESS_DENIED' },
      'SEALFLEET_PKCS11_MODULE',
    ],
    [
      'a library that is no PKCS#11 module',
      (t) => tokenOptions(t, { module: '/lib/x86_64-linux-gnu/libm.so.6' }),
      { code: 'HSM_ACCESS_DENIED' },
      'SEALFLEET_PKCS11_MODULE',
    ],
    [
      'a missing token',
      (t) => tokenOptions(t, { token: 'nobody' }),
      { code: 'HSM_UNAVAILABLE' },
      'SEALFLEET_PKCS11_TOKEN',
    ],
    [
      'a missing PIN file',
      (t) => tokenOptions(t, { pin: { kind: 'file', path: '/nonexistent/pin' } }),
      { code: 'HSM_ACCESS_DENIED' },
      'PIN',
    ],
    [
      'a PIN file that others can read',
      (t) => {
        const path = join(t.dir, 'open-pin')
        writeFileSync(path, t.pin)
        chmodSync(path, 0o644)
        return tokenOptions(t, { pin: { kind: 'file', path } })
      },
      { code: 'HSM_ACCESS_DENIED' },
      'chmod 600',
    ],
    [
      'an empty PIN',
      (t) => tokenOptions(t, { pin: { kind: 'value', value: Buffer.from('\n') } }),
      { code: 'HSM_ACCESS_DENIED' },
      'PIN',
    ],
    [
      'a module whose configuration is missing',
      (t) => tokenOptions(t, { env: { SOFTHSM2_CONF: '/nonexistent/softhsm2.conf' } }),
      { code: 'HSM_UNAVAILABLE' },
      'configuration',
    ],
  ])('names %s and says what to do', async (_name, options, expected, hint) => {
    const { failure, logins } = await failToOpen(options(token))
    expect(failure).toMatchObject(expected)
    expect(failure).toHaveProperty('fix', expect.stringContaining(hint))
    expect(logins).toEqual([])
    await expect(openKeyAdmin(options(token))).rejects.toMatchObject(expected)
  })

  it('opens without its token when told to, says so, and serves when the token has come', async () => {
    const later = await freshToken()
    try {
      const label = 'sealfleet-later'
      const options = { startWithoutToken: true, restartIntervalMs: 200, deadlineMs: 2_000 }
      await using observed = await ObservedPool.open(tokenOptions(later, { token: label }), options)
      expect(observed.pool.health()).toMatchObject({ ready: false, lastFailure: { code: 'HSM_UNAVAILABLE' } })
      await expect(observed.pool.hmac(ENC, randomBytes(32))).rejects.toMatchObject({ code: 'HSM_UNAVAILABLE' })
      expect(observed.count('login')).toBe(0)
      await initToken(later, label)
      await observed.allReady()
      await observed.until(() => observed.pool.health().ready)
      // No one was logged in for nothing, and what failed were starts, by themselves as many as the time they were given.
      expect(Object.keys(observed.pool.stats().restarts)).toEqual(['failed-start'])
      expect(observed.pool.stats()).toMatchObject({ logins: 2, rejectedLogins: 0 })
      await expect(observed.pool.hmac(ENC, randomBytes(32))).rejects.toMatchObject({ code: 'E_KEY_UNKNOWN' })
      await using admin = await openKeyAdmin(tokenOptions(later, { token: label }))
      await admin.generate(ENC)
      await expect(observed.pool.hmac(ENC, randomBytes(32))).resolves.toHaveLength(32)
    } finally {
      await later[Symbol.asyncDispose]()
    }
  })
})
