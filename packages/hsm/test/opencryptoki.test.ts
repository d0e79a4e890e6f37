import { randomBytes, randomUUID } from 'node:crypto'

import { Faulty } from '@sealfleet/testkit'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { conformance } from '../src/conformance/conformance.js'
import { formatReport } from '../src/conformance/report.js'
import { openKeyAdmin } from '../src/admin/key-admin.js'
import type { MasterKeyRef } from '../src/contract.js'
import { knownAnswers, ObservedPool } from './helpers.js'
import { opencryptokiAbsent, opencryptokiToken, type SecondToken } from './opencryptoki.js'

/** The damage that looks different on another token: stale handles are 0x60 here and 0x82 on SoftHSM. */
const DAMAGE = [
  ['a lost login', 'C_SignInit logout count=1'],
  ['all sessions closed', 'C_SignInit closeall count=1'],
  ['the module finalized', 'C_SignInit finalize count=1'],
  ['DEVICE_ERROR once', 'C_Sign return 0x30 count=1'],
] as const

const absent = opencryptokiAbsent()

/** All of opencryptoki in one file: there is one token and one daemon a machine. */
describe('opencryptoki, the second token', () => {
  let token: SecondToken | undefined

  beforeAll(async () => {
    if (absent === undefined) token = await opencryptokiToken()
  })

  afterAll(async () => {
    await token?.[Symbol.asyncDispose]()
  })

  // The report says in this title whether it was tried, and if not, why.
  it(absent === undefined ? 'is tried here' : `is NOT tried here: ${absent}`, () => {
    // Where it could be tried it must be: CI installs it, and only root can start its daemon.
    const required = process.env['CI'] === 'true' && process.getuid?.() === 0
    expect(required ? absent : undefined).toBeUndefined()
  })

  it.each(absent === undefined ? ['the conformance suite'] : [])('passes %s', async () => {
    const report = await conformance(tokenOf(token), { measureMs: 200 })
    expect(
      report.checks.filter(({ outcome }) => outcome === 'failed'),
      formatReport(report),
    ).toEqual([])
    expect(report).toMatchObject({ passed: true, usable: { sealing: true, detachedNonces: false, evidence: true } })
  })

  it.each(absent === undefined ? DAMAGE : [])(
    'answers all of 16 operations, and rightly, after %s',
    async (_name, rule) => {
      await using admin = await openKeyAdmin(tokenOf(token))
      const key: MasterKeyRef = { role: 'enc', domain: randomUUID(), suite: 1, version: 1 }
      await admin.generate(key)
      try {
        await using faulty = await Faulty.over(tokenOf(token))
        await using observed = await ObservedPool.open(faulty.token)
        await observed.allReady()
        const answers = await knownAnswers(observed.pool, key, 16)
        await Promise.all([...answers.keys()].map((message) => observed.pool.hmac(key, message)))
        await faulty.rules(rule)
        const right = await Promise.all(
          [...answers].map(async ([message, expected]) => expected.equals(await observed.pool.hmac(key, message))),
        )
        expect(right).toEqual(Array.from({ length: 16 }, () => true))
        await expect(observed.pool.hmac(key, randomBytes(32))).resolves.toHaveLength(32)
      } finally {
        await admin.destroy(key)
      }
    },
  )
})

function tokenOf(token: SecondToken | undefined): SecondToken['options'] {
  if (token === undefined) throw new Error('opencryptoki was not opened')
  return token.options
}
