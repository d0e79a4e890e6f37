import type { MasterKeyRef } from '@sealfleet/format'
import { randomUUID } from 'node:crypto'
import { rename } from 'node:fs/promises'
import path from 'node:path'

import { openKeyAdmin } from '@sealfleet/hsm'
import { listLiveWorkers, listWorkers, type KeyReport } from '@sealfleet/records/upkeep'
import { registerMasterKey } from '@sealfleet/records/keys'
import { createLogger, createMetrics } from '@sealfleet/telemetry'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'

import { runWorker } from '../src/run.js'
import { tokenOptions } from '@sealfleet/testkit/fleet'
import { startFleet, type Fleet } from './fleet.js'

let fleet: Fleet
beforeEach(async () => {
  fleet = await startFleet({
    domains: [{ id: randomUUID(), name: 'apart', nonceMode: 'detached', lossAcknowledged: true }],
  })
})
afterEach(() => fleet?.[Symbol.asyncDispose]())

const ENC = { role: 'enc', domain: 'default', suite: 1, version: 2 } as const

/** Made and registered, not activated; returns the id of its row. */
async function pending(ref: MasterKeyRef, checkValue?: Uint8Array): Promise<string> {
  await using admin = await openKeyAdmin(tokenOptions(fleet.token))
  await admin.generate(ref)
  const check =
    ref.role === 'kek'
      ? { checkRecord: await admin.makeKekRecord(ref) }
      : { checkValue: checkValue ?? (await admin.checkValue(ref)) }
  return (await registerMasterKey(fleet.records, { ref, ...check })).key.id
}

const reports = async (): Promise<(KeyReport | null)[]> =>
  (await listLiveWorkers(fleet.records)).map(({ keys }) => keys)

/** Beats come every 15 s by themselves: what is seen sooner was said at once. */
const soon = { timeout: 10_000, interval: 100 }

describe('what a worker says of keys that are not active yet', () => {
  test('a version that is registered while it runs is confirmed at once, a KEK by its record', async () => {
    await using _worker = await fleet.startWorker()
    expect(await reports()).toEqual([{ confirmed: [], lacking: [] }])
    const enc = await pending(ENC)
    await expect.poll(reports, soon).toEqual([{ confirmed: [enc], lacking: [] }])
    const domain = fleet.domains[0] ?? ''
    const kek = await pending({ role: 'kek', domain, suite: 1, version: 2 })
    await expect.poll(reports, soon).toEqual([{ confirmed: [kek, enc], lacking: [] }])
  })

  test('it has looked before it takes its first job', async () => {
    const enc = await pending(ENC)
    await using _worker = await fleet.startWorker()
    expect(await reports()).toEqual([{ confirmed: [enc], lacking: [] }])
  })

  test('another key under the label, and a token that is away, are not confirmed', async () => {
    const right = await pending(ENC)
    const wrong = await pending({ ...ENC, role: 'sig' }, Buffer.alloc(8, 1))
    await using _worker = await fleet.startWorker({ env: { SEALFLEET_HSM_AGENTS: '1' } })
    const mismatch = { key: wrong, token: 'primary', state: 'mismatch' }
    expect(await reports()).toEqual([{ confirmed: [right], lacking: [mismatch] }])
    const tokens = path.join(fleet.token.dir, 'tokens')
    await rename(tokens, `${tokens}-away`)
    // A round of probes finds out; to SoftHSM whose folder is gone no key is there.
    const lacked = async () =>
      (await reports())[0]?.lacking.filter(({ key }) => key === right).map(({ state }) => state)
    await expect.poll(lacked, { ...soon, timeout: 60_000 }).toEqual([expect.stringMatching(/^(unknown|unreachable)$/)])
    await rename(`${tokens}-away`, tokens)
  }, 180_000)

  test('a worker that is stopped, or still opens what it needs, is not waited for', async () => {
    const worker = await fleet.startWorker()
    await worker.stop()
    expect(await reports()).toEqual([])
    await expect(
      runWorker({
        config: { ...fleet.config({ SEALFLEET_PKCS11_TOKEN: 'nobody' }), passthroughEnv: { ...fleet.token.env } },
        log: createLogger({ name: 'worker', level: 'silent' }),
        metrics: createMetrics({ processMetrics: false }),
        workerId: 'never-ready',
      }),
    ).rejects.toMatchObject({ code: 'HSM_UNAVAILABLE' })
    expect(await reports()).toEqual([])
    expect((await listWorkers(fleet.records)).map(({ state }) => state)).toEqual(['STOPPED', 'STOPPED'])
  })
})
