import { listTasks, listWorkers } from '@sealfleet/records/upkeep'
import { loadConfig } from '@sealfleet/config'
import { createLogger, createMetrics } from '@sealfleet/telemetry'
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'

import { runMaintenance } from '../src/run.js'
import { startFleet, type Fleet } from '../../worker/test/fleet.js'

let fleet: Fleet
beforeAll(async () => {
  fleet = await startFleet()
})
afterAll(() => fleet?.[Symbol.asyncDispose]())

/** A maintenance process in this one, and what it logs. */
async function start(env: NodeJS.ProcessEnv) {
  const lines: Record<string, unknown>[] = []
  const write = (line: string) => void lines.push(JSON.parse(line) as Record<string, unknown>)
  const id = `m-${randomUUID().slice(0, 8)}`
  const running = await runMaintenance({
    config: loadConfig(
      { ...fleet.env, ...fleet.token.env, ...env },
      { needs: ['database', 'redis', 's3', 'maintenance', 'ops'], optional: ['hsm'] },
    ),
    log: createLogger({ name: 'maintenance', level: 'debug', destination: { write } }),
    metrics: createMetrics({ processMetrics: false }),
    id,
  })
  const detail = async () => (await listWorkers(fleet.records)).find((worker) => worker.id === id)?.detail
  return { lines, detail, [Symbol.asyncDispose]: () => running[Symbol.asyncDispose]() }
}

test('with an HSM it is ready, and the records say so', async () => {
  await using maintenance = await start({})
  expect(await maintenance.detail()).toMatchObject({ program: 'maintenance', hsm: 'ready' })
})

test('without one it keeps house all the same, and log and register say so', async () => {
  const nothing = { SEALFLEET_PKCS11_MODULE: undefined, SEALFLEET_PKCS11_TOKEN: undefined }
  await using maintenance = await start({
    ...nothing,
    SEALFLEET_PKCS11_PIN: undefined,
    SEALFLEET_PKCS11_PIN_FILE: undefined,
  })
  expect(await maintenance.detail()).toMatchObject({ hsm: 'none' })
  expect(maintenance.lines).toContainEqual(expect.objectContaining({ component: 'hsm', level: 40 }))
})

test('a token that is not there yet is waited for, and a refused module does not stop the house', async () => {
  await using absent = await start({ SEALFLEET_PKCS11_TOKEN: 'not-there-yet' })
  expect(await absent.detail()).toMatchObject({ hsm: 'unavailable' })
  await using refused = await start({ SEALFLEET_PKCS11_MODULE: '/nonexistent/module.so' })
  expect(await refused.detail()).toMatchObject({ hsm: 'refused' })
  expect(refused.lines).toContainEqual(expect.objectContaining({ code: 'HSM_ACCESS_DENIED' }))
  await expect
    .poll(async () => (await listTasks(fleet.records)).find(({ name }) => name === 'reconcile')?.outcome)
    .toBe('done')
})
