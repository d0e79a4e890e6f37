import { readdir, readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'

import { clearPinLockout, listPinLockouts } from '@sealfleet/records/keys'
import { getFile } from '@sealfleet/records/files'
import { every, Faulty, longTest, matrix } from '@sealfleet/testkit'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'

import { tokenOptions } from '@sealfleet/testkit/fleet'
import { startFleet, type Fleet } from './fleet.js'
import { enqueue, expectWhole, Patient } from './patient.js'
import { WorkerProcess } from './worker-process.js'

/** Agents of any process, by what they run; their parent by /proc. */
async function agentsOf(parent: number): Promise<number[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number)
  const parents = await Promise.all(pids.map(async (pid) => [pid, await parentOf(pid)] as const))
  return parents.flatMap(([pid, its]) => (its === parent ? [pid] : []))
}

/** undefined: there is no such process, or it only waits to be reaped. */
async function parentOf(pid: number): Promise<number | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => '')
  const [state, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return stat === '' || state === 'Z' ? undefined : Number(parent)
}

/** The HSM fails under a worker with a backlog: whatever it does, no job loses an attempt. */
describe('an HSM that fails under a worker', () => {
  let fleet: Fleet
  let faulty: Faulty<{ module: string; env: Record<string, string> }>
  let module: NodeJS.ProcessEnv

  beforeAll(async () => {
    fleet = await startFleet()
    faulty = await Faulty.over({ module: fleet.token.module, env: { ...tokenOptions(fleet.token).env } })
    // Hung calls are given up, and agents come back, in seconds.
    const times = { SEALFLEET_HSM_SOFT_TIMEOUT_MS: '300', SEALFLEET_HSM_HARD_TIMEOUT_MS: '1000' }
    module = { ...faulty.token.env, SEALFLEET_PKCS11_MODULE: faulty.token.module, ...times }
  })
  afterEach(() => faulty.rules())
  afterAll(async () => {
    await faulty?.[Symbol.asyncDispose]()
    await fleet?.[Symbol.asyncDispose]()
  })

  const outages: readonly [string, ...string[]][] = [
    ['every C_Sign hangs', 'C_Sign hang'],
    ['the token says that it is not present', 'C_SignInit return 0xe0', 'C_OpenSession return 0xe0'],
    ['the device is broken', 'C_Sign return 0x30', 'C_Login return 0x30'],
  ]
  matrix(outages, every(3))(
    '%s, and is well again: the breaker opens and closes, every file is stored, none was blamed',
    async ([name, ...rules]) => {
      await using patient = await Patient.start(fleet, module)
      await faulty.rules(...rules)
      const ids = await enqueue(fleet, name.replaceAll(' ', '-'))
      await expect.poll(() => patient.said('open', 'hsm').length, { timeout: 60_000 }).toBeGreaterThanOrEqual(1)
      await expect.poll(async () => (await patient.ask('readyz')).status).toBe(503)
      expect(await patient.ask('healthz')).toEqual({ status: 200, text: 'ok\n' })
      await faulty.rules()
      await expectWhole(fleet, ids, patient.said('open', 'hsm').length)
      await expect.poll(() => patient.metric('breaker_open{dependency="hsm"}'), { timeout: 60_000 }).toBe(0)
      expect(patient.lines.some(({ code }) => code === 'HSM_ACCESS_DENIED')).toBe(false)
    },
  )

  matrix(['SIGKILL', 'SIGTERM'] as const, every(2))(
    '%s while a call hangs: the worker ends, no agent is left, and another worker stores the file',
    async (signal) => {
      const env = {
        PATH: process.env['PATH'],
        ...fleet.env,
        ...module,
        SEALFLEET_HSM_AGENTS: '2',
        SEALFLEET_LEASE_SECONDS: '4',
      }
      const worker = new WorkerProcess({
        ...env,
        SEALFLEET_LEASE_RENEW_SECONDS: '1',
        SEALFLEET_HSM_HARD_TIMEOUT_MS: '60000',
        SEALFLEET_WORKER_PORT: '0',
      })
      await worker.saying('taking jobs')
      const pid = worker.child.pid ?? 0
      await faulty.rules('C_Sign hang count=1')
      const ids = await enqueue(fleet, `hung-${signal}`, 1)
      await expect.poll(() => faulty.hits(), { timeout: 60_000 }).toBeGreaterThanOrEqual(1)
      const agents = await agentsOf(pid)
      expect(agents.length).toBeGreaterThanOrEqual(1)
      worker.child.kill(signal)
      await worker.exit
      for (const agent of agents) await expect.poll(() => parentOf(agent), { timeout: 60_000 }).toBeUndefined()
      await using _other = await Patient.start(fleet, module)
      const states = await fleet.settled(ids)
      expect(ids.map((id) => states.get(id)?.state)).toEqual(['STORED'])
      // A process that was killed could not record anything: its attempt counts as a crash, which is not one of the retries.
      const found = await getFile(fleet.records, ids[0] ?? '')
      expect(found?.file.crashes).toBe(signal === 'SIGKILL' ? 1 : 0)
    },
  )

  test('a PIN that the token rejects is tried by one worker of three that start at once', async () => {
    const before = await faulty.calls('C_Login')
    await faulty.rules('C_Login return 0xa0')
    const env = { ...module, SEALFLEET_PKCS11_PIN_ID: 'rejected' }
    const starts = await Promise.allSettled(Array.from({ length: 3 }, () => Patient.start(fleet, env)))
    expect(starts.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected'])
    for (const start of starts) expect(start).toMatchObject({ reason: { code: 'HSM_ACCESS_DENIED' } })
    expect((await faulty.calls('C_Login')) - before).toBe(1)
  })

  longTest(
    'a PIN that stopped being right is tried once; after it is put right and reset the worker that runs goes on by itself',
    { timeout: 240_000 },
    async () => {
      const pinFile = path.join(fleet.root, 'pin')
      const pin = await readFile(fleet.token.pinFile)
      await writeFile(pinFile, pin, { mode: 0o600 })
      const env = { ...module, SEALFLEET_PKCS11_PIN_FILE: pinFile, SEALFLEET_PKCS11_PIN_ID: 'changed' }
      await using patient = await Patient.start(fleet, env)
      await expectWhole(fleet, await enqueue(fleet, 'pin-right'), 0)
      const rejected = async () => patient.metric('hsm_logins_total{token="primary",outcome="refused"}')

      await writeFile(pinFile, '00000000')
      // The agent that runs is logged in and would go on forever; the next one is not let in.
      await faulty.rules('C_Sign abort count=1')
      const ids = await enqueue(fleet, 'pin-wrong')
      await expect.poll(() => patient.said('open', 'hsm').at(-1)?.code, { timeout: 60_000 }).toBe('HSM_ACCESS_DENIED')
      expect((await patient.ask('readyz')).status).toBe(503)
      const [lockout] = (await listPinLockouts(fleet.records)).filter(({ pinId }) => pinId === 'changed')
      expect(lockout).toMatchObject({ state: 'rejected' })
      expect(await rejected()).toBe(1)

      // Putting the PIN right is not enough: no one tries it while it is locked out, however often agents are started.
      await writeFile(pinFile, pin)
      const logins = await faulty.calls('C_Login')
      const starts = () => patient.metric('hsm_agent_restarts_total{token="primary",reason="failed-start"}')
      const before = (await starts()) ?? 0
      await expect.poll(async () => ((await starts()) ?? 0) - before, { timeout: 90_000 }).toBeGreaterThanOrEqual(1)
      expect(await faulty.calls('C_Login')).toBe(logins)

      expect(await clearPinLockout(fleet.records, lockout ?? { tokenSerial: '', pinId: '' })).toBe(true)
      await expectWhole(fleet, ids, patient.said('open', 'hsm').length)
      await expect.poll(() => patient.metric('breaker_open{dependency="hsm"}'), { timeout: 60_000 }).toBe(0)
      expect(await rejected()).toBe(1)
    },
  )
})
