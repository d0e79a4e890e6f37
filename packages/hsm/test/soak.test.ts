import { Faulty } from '@sealfleet/testkit'
import { describe, expect, it } from 'vitest'

import { ENC, knownAnswers, loadUntil, ObservedPool, tokenOptions, tokenWithKeys } from './helpers.js'

/** Faults that the pool must survive without its callers noticing; one at a time, with room to heal between. */
const FAULTS = [
  'C_Sign return 0x30 count=1',
  'C_Sign return 0x06 count=2',
  'C_Sign return 0x05 count=1',
  'C_SignInit return 0xb3 count=1',
  'C_SignInit return 0x82 count=2',
  'C_SignInit logout count=1',
  'C_SignInit closeall count=1',
  'C_SignInit finalize count=1',
  'C_SignInit return 0x190 count=1',
  'C_Sign abort count=1',
  'C_Sign length 31 count=1',
  'C_Sign delay 300 percent=20',
  'C_Sign hang count=1',
  'SIGKILL',
] as const

const FULL = process.env['SEALFLEET_TEST_FULL'] === '1'
const SECONDS = Number(process.env['SEALFLEET_TEST_SOAK_SECONDS'] ?? (FULL ? 60 : 5))

describe('a soak with random faults', () => {
  it(
    'loses no operation and gives no wrong answer',
    async () => {
      await using token = await tokenWithKeys(ENC)
      await using faulty = await Faulty.over(tokenOptions(token))
      const options = { hardTimeoutMs: 1_000, restartIntervalMs: 500 }
      await using observed = await ObservedPool.open(faulty.token, options)
      await observed.allReady()
      const answers = await knownAnswers(observed.pool, ENC, 32)
      const healing: Record<string, number[]> = {}
      const damage = (async () => {
        const until = performance.now() + SECONDS * 1_000
        while (performance.now() < until) {
          const fault = FAULTS[Math.floor(Math.random() * FAULTS.length)] ?? 'SIGKILL'
          await faulty.rules(...(fault === 'SIGKILL' ? [] : [fault]))
          if (fault === 'SIGKILL') process.kill(observed.readyAgents()[0]?.pid ?? NaN, 'SIGKILL')
          const begun = performance.now()
          await new Promise((resolve) => setTimeout(resolve, 500))
          await faulty.rules()
          // The hard time-out of a hanging call lies behind us before the next fault comes.
          if (fault.includes('hang')) await new Promise((resolve) => setTimeout(resolve, 1_000))
          await observed.allReady()
          ;(healing[fault] ??= []).push(Math.round(performance.now() - begun))
        }
      })()
      const load = await loadUntil(observed.pool, ENC, answers, 16, damage)
      const { restarts, logins, replays, hung, errors } = observed.pool.stats()
      console.info(JSON.stringify({ seconds: SECONDS, ok: load.ok, restarts, logins, replays, hung, errors, healing }))
      expect(load).toMatchObject({ wrong: 0, failures: [] })
      expect(load.ok).toBeGreaterThan(100)
    },
    (SECONDS + 60) * 1_000,
  )
})
