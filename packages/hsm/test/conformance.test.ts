import { Writable } from 'node:stream'

import { freshToken } from '@sealfleet/testkit'
import { describe, expect, it } from 'vitest'

import { main } from '../src/conformance/main.js'
import { conformance, formatReport, openKeyAdmin } from '../src/index.js'
import { tokenOptions } from './helpers.js'

describe('the conformance suite', () => {
  it('passes on SoftHSM, and leaves nothing behind in the token', async () => {
    await using token = await freshToken()
    const report = await conformance(tokenOptions(token), { measureMs: 200 })
    expect(
      report.checks.filter(({ outcome }) => outcome !== 'ok'),
      formatReport(report),
    ).toEqual([])
    expect(report).toMatchObject({ passed: true, usable: { sealing: true, detachedNonces: true, evidence: true } })
    expect(Object.keys(report.rates)).toEqual(['1', '4', '16'])
    await using admin = await openKeyAdmin(tokenOptions(token))
    expect(await admin.list()).toEqual([])
  })

  it('rejects when the token can’t be opened', async () => {
    await using token = await freshToken()
    const absent = conformance(tokenOptions(token, { token: 'nobody' }))
    await expect(absent).rejects.toMatchObject({ code: 'HSM_UNAVAILABLE' })
  })
})

describe('the conformance command', () => {
  async function run(...args: string[]): Promise<{ status: number; out: string; err: string }> {
    const out: string[] = []
    const err: string[] = []
    const sink = (lines: string[]) => new Writable({ write: (chunk, _e, done) => (lines.push(String(chunk)), done()) })
    return { status: await main(args, sink(out), sink(err)), out: out.join(''), err: err.join('') }
  }

  it('says how it is used when something is missing', async () => {
    for (const args of [[], ['--module', '/x'], ['--unknown']]) {
      expect(await run(...args)).toMatchObject({ status: 2, out: '', err: expect.stringContaining('usage:') as string })
    }
  })

  it('names what is wrong and what to do when the token can’t be opened', async () => {
    const outcome = await run('--module', '/nonexistent.so', '--token', 't', '--pin-file', '/dev/null')
    expect(outcome).toMatchObject({ status: 6, err: expect.stringContaining('HSM_ACCESS_DENIED') as string })
    expect(outcome.err).toContain('SEALFLEET_PKCS11_MODULE')
  })
})
