import { Faulty } from '@sealfleet/testkit'
import { describe, expect, it } from 'vitest'

import { conformance } from '../src/conformance/conformance.js'
import { formatReport } from '../src/conformance/report.js'
import { openKeyAdmin } from '../src/admin/key-admin.js'
import { ENC, knownAnswers, ObservedPool, tallyOf } from './helpers.js'
import { nssModule, nssToken } from './nss.js'

describe('NSS softokn, the third token', () => {
  it('is there to be tried: the test scripts install libnss3', () => {
    expect(nssModule).toBeDefined()
  })

  it('does everything that is asked of a token but one thing: it exports keys that it calls not extractable', async () => {
    await using token = await nssToken()
    const report = await conformance(token.options, { measureMs: 200 })
    const of = (outcome: string) => report.checks.filter((check) => check.outcome === outcome).map(({ name }) => name)
    expect(of('failed'), formatReport(report)).toEqual(['refuses what a master key must refuse'])
    expect(of('absent')).toEqual(['restricts the key to its mechanism'])
    expect(report.checks.find(({ outcome }) => outcome === 'failed')?.detail).toContain(
      'exported with CKM_AES_KEY_WRAP',
    )
    expect(report).toMatchObject({ passed: false, usable: { sealing: false, detachedNonces: true, evidence: false } })
    expect(report).toMatchObject({ vendor: { title: 'NSS softokn', tried: true }, attributes: { LOCAL: 'ignored' } })
    expect(report.rates['16']).toBeGreaterThan(0)
  })

  it('is not given a master key, since it would hand it out', async () => {
    await using token = await nssToken()
    await using admin = await openKeyAdmin(token.options)
    await expect(admin.generate(ENC)).rejects.toMatchObject({ code: 'HSM_ACCESS_DENIED' })
    expect(await admin.list()).toEqual([])
  })

  it('crashes after a lost login, and the pool answers all of 16 operations nevertheless', async () => {
    await using token = await nssToken()
    await using admin = await openKeyAdmin(token.options)
    await admin.generate(ENC, { acceptUnsound: true })
    await using faulty = await Faulty.over(token.options)
    await using observed = await ObservedPool.open(faulty.token)
    const { pool } = observed
    await observed.allReady()
    const answers = await knownAnswers(pool, ENC, 16)
    await faulty.rules('C_SignInit logout count=1')
    expect(await tallyOf(pool, ENC, answers)).toEqual({ right: 16, wrong: 0, failed: [] })
    await observed.until(() => observed.count('ready') >= 3)
    expect(pool.stats().restarts).toEqual({ died: 1 })
    expect(await tallyOf(pool, ENC, answers)).toEqual({ right: 16, wrong: 0, failed: [] })
  })
})
