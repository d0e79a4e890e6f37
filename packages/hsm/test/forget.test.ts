import { setTimeout as delay } from 'node:timers/promises'

import type { FreshToken } from '@sealfleet/testkit'
import { afterEach, expect, it } from 'vitest'

import { keyLabel } from '@sealfleet/format'
import { openKeyAdmin } from '../src/admin/key-admin.js'
import type { MasterKeyRef } from '../src/contract.js'
import { ENC, KEK, ObservedPool, SIG, tokenOptions, tokenWithKeys } from './helpers.js'

let token: FreshToken
let observed: ObservedPool
afterEach(async () => {
  await observed?.[Symbol.asyncDispose]()
  await token?.[Symbol.asyncDispose]()
})

const states = () => Object.fromEntries(observed.pool.health().keys.map(({ label, state }) => [label, state]))

/** A pool that expects three keys, of which two are destroyed. */
async function afterDestruction(): Promise<{ readonly expectAgain: () => void }> {
  token = await tokenWithKeys(ENC, SIG, KEK)
  observed = await ObservedPool.open(tokenOptions(token), { agents: 1, probeIntervalMs: 200 })
  const { pool } = observed
  await using admin = await openKeyAdmin(tokenOptions(token))
  const values = { enc: await admin.checkValue(ENC), sig: await admin.checkValue(SIG) }
  const record = await admin.makeKekRecord(KEK)
  const expectAgain = (): void => {
    pool.expectCheckValue(ENC, values.enc)
    pool.expectKekRecord(KEK, record)
  }
  expectAgain()
  pool.expectCheckValue(SIG, values.sig)
  await pool.probe()
  expect(Object.values(states())).toEqual(['ok', 'ok', 'ok'])
  for (const key of [ENC, KEK]) await admin.destroy(key)
  return { expectAgain }
}

const destroyed: readonly MasterKeyRef[] = [ENC, KEK]

it('a key that was destroyed and forgotten is missed by no probe, also when it is expected again', async () => {
  const { expectAgain } = await afterDestruction()
  const { pool } = observed
  for (const key of destroyed) pool.forget(key)
  expectAgain()
  await pool.probe()
  expect(states()).toEqual({ [keyLabel(SIG)]: 'ok' })
  expect(pool.health()).toMatchObject({ ready: true, breaker: 'closed', lastFailure: undefined })
  expect(observed.events.filter(({ type }) => type === 'restart')).toEqual([])
  await expect(pool.hmac(ENC, Buffer.alloc(32, 1))).rejects.toMatchObject({ code: 'E_KEY_UNKNOWN' })
  await expect(pool.keyOnTokens(ENC)).rejects.toThrow(RangeError)
  expect(await pool.hmac(SIG, Buffer.alloc(32, 1))).toHaveLength(32)
})

it('without being told, the pool goes on missing it', async () => {
  await afterDestruction()
  await observed.pool.probe()
  expect(states()).toMatchObject({ [keyLabel(ENC)]: 'unknown', [keyLabel(SIG)]: 'ok' })
})

it('forgotten in the middle of a round, it is reported to no one', async () => {
  await afterDestruction()
  const { pool, events } = observed
  events.length = 0
  const round = pool.probe()
  for (const key of destroyed) pool.forget(key)
  await round
  await delay(0)
  expect(states()).toEqual({ [keyLabel(SIG)]: 'ok' })
  expect(events.filter(({ type }) => type === 'check-value')).toEqual([])
})

it('another key that comes back under the label is still not the one', async () => {
  await afterDestruction()
  observed.pool.forget(ENC)
  await using admin = await openKeyAdmin(tokenOptions(token))
  await admin.generate(ENC)
  await expect(observed.pool.hmac(ENC, Buffer.alloc(32, 1))).rejects.toMatchObject({ code: 'KEY_MISMATCH' })
})
