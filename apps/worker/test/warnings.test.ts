/** Node warns on standard error, once a process, of listeners that gather on one signal: a leak, or many waits that no one counted. */
import { randomBytes } from 'node:crypto'
import { getEventListeners, once } from 'node:events'

import { openKeyAdmin } from '@sealfleet/hsm'
import { listTasks } from '@sealfleet/records/upkeep'
import { registerMasterKey } from '@sealfleet/records/keys'
import { afterAll, beforeAll, expect, test } from 'vitest'

import { startKeyWatch } from '@sealfleet/keys'
import { unlessAborted } from '@sealfleet/runtime'
import { makeKeys, tokenOptions } from '@sealfleet/testkit/fleet'
import { startFleet, type Fleet } from './fleet.js'
import { runDone, startRun, storeAll } from './rekeying.js'
import { WorkerProcess } from './worker-process.js'

let fleet: Fleet
beforeAll(async () => {
  fleet = await startFleet()
})
afterAll(() => fleet?.[Symbol.asyncDispose]())

test('worker and maintenance say nothing on standard error while they store files, seal them again and stop', async () => {
  const env = { PATH: process.env['PATH'], ...fleet.env, ...fleet.token.env }
  const worker = new WorkerProcess(env)
  const maintenance = new WorkerProcess({ ...env, SEALFLEET_SCRUB_MIB_PER_SECOND: '100' }, 'maintenance')
  await Promise.all([worker.saying('taking jobs'), maintenance.saying('maintenance started')])
  // One of many parts among small ones: parts in flight wait with the attempt's signal.
  const sizes = [0, 1, 12 * 2 ** 20, ...Array.from({ length: 17 }, (_, i) => i * 1_000)]
  await storeAll(fleet, new Map(sizes.map((size, i) => [`file-${i}`, randomBytes(size)])))
  await makeKeys(fleet.records, fleet.token, { id: 'default' }, 2)
  await runDone(fleet, await startRun(fleet, { fromVersion: 1 }))
  // Each task that is due at the start has run, or has failed and been left.
  await expect
    .poll(async () => (await listTasks(fleet.records)).filter(({ outcome }) => outcome !== null).length, {
      timeout: 60_000,
    })
    .toBeGreaterThanOrEqual(8)
  worker.child.kill('SIGTERM')
  maintenance.child.kill('SIGTERM')
  expect(await Promise.all([worker.exit, maintenance.exit])).toEqual([0, 0])
  expect([worker.errors, maintenance.errors]).toEqual(['', ''])
}, 120_000)

test('looks for new keys leave no listener behind, however many there are', async () => {
  const ref = { role: 'enc', domain: 'default', suite: 1, version: 9 } as const
  await using admin = await openKeyAdmin(tokenOptions(fleet.token))
  await admin.generate(ref)
  await registerMasterKey(fleet.records, { ref, checkValue: await admin.checkValue(ref) })
  const warned: string[] = []
  const onWarning = ({ name }: Error) => warned.push(name)
  process.on('warning', onWarning)
  let looks = 0
  const looked = new EventTarget()
  const pool = {
    ...fleet.ports.checkValues,
    expectCheckValue: () => undefined,
    expectKekRecord: () => undefined,
    // Another answer each time, so that each look is told of.
    keyOnTokens: () => Promise.resolve([{ token: `look-${++looks}`, state: 'unknown' as const }]),
  }
  try {
    const enough = once(looked, 'enough')
    await using _watch = await startKeyWatch({
      records: fleet.records,
      pool,
      lookMs: 1,
      onChange: async () => {
        if (looks === 30) looked.dispatchEvent(new Event('enough'))
        return Promise.resolve()
      },
      onFailure: (error) => {
        throw error
      },
    })
    await enough
  } finally {
    process.off('warning', onWarning)
  }
  expect(warned).toEqual([])
})

test('a wait that ends gives its listener back, one that hangs is left when the signal aborts', async () => {
  const stop = new AbortController()
  const { signal } = stop
  for (let i = 0; i < 30; i++) expect(await unlessAborted(Promise.resolve(i), signal)).toBe(i)
  await expect(unlessAborted(Promise.reject(new Error('its own')), signal)).rejects.toThrow('its own')
  await expect.poll(() => getEventListeners(signal, 'abort')).toEqual([])
  const hanging = unlessAborted(new Promise(() => undefined), signal)
  stop.abort(new Error('over'))
  await expect(hanging).rejects.toThrow('over')
  await expect(unlessAborted(Promise.resolve(1), signal)).rejects.toThrow('over')
})
