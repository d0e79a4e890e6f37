/**
 * Proved by apps/worker/test/destroyed-jobs.test.ts; here by the commands, on a whole fleet.
 *
 * @module-tag long
 */
import { writeFile } from 'node:fs/promises'
import path from 'node:path'

import { listMasterKeys } from '@sealfleet/records/keys'
import { openRecords } from '@sealfleet/records'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { freePort } from '../../../tools/lib/ports.mjs'
import { enrolOfficers, type Officers } from './support/officers.js'
import { startProgram } from './support/processes.js'
import { createWorld, type Ran, type World } from './support/world.js'

const LONG = 240_000
/** Probes come every 15 s by themselves: a round more than the one that is under way. */
const ROUNDS = { timeout: 60_000, interval: 500 }

let world: World
let officers: Officers
beforeAll(async () => {
  world = await createWorld()
  officers = await enrolOfficers(world, ['ann', 'bob'])
})
afterAll(() => world?.[Symbol.asyncDispose]())

const ok = async (args: readonly string[], env: Record<string, string> = {}): Promise<Ran> => {
  const ran = await world.inProcess(args, { env })
  expect(ran.status, ran.stderr + ran.stdout.toString()).toBe(0)
  return ran
}

interface Watched {
  readonly port: number
  /** A figure summed over the series that have all of these labels. */
  readonly figure: (name: string, labels?: Readonly<Record<string, string>>) => Promise<number>
}

function watched(port: number): Watched {
  return {
    port,
    figure: async (name, labels = {}) => {
      const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()
      const wanted = Object.entries(labels).map(([label, value]) => `${label}="${value}"`)
      return text
        .split('\n')
        .filter((line) => line.startsWith(`${name}{`) && wanted.every((one) => line.includes(one)))
        .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0)
    },
  }
}

const CHECKS = 'sealfleet_hsm_check_values'
/** What a running process expects of the HSM, by the outcome of the last comparison. */
const checks = async ({ figure }: Watched) => ({
  ok: await figure(CHECKS, { state: 'ok' }),
  others: (await figure(CHECKS)) - (await figure(CHECKS, { state: 'ok' })),
})

async function sealOne(name: string): Promise<string> {
  await writeFile(path.join(world.data, name), name)
  const ran = await ok(['enqueue', name, '--wait', '--json'])
  return ran.json<{ files: { fileId: string }[] }>().files[0]?.fileId ?? ''
}

it(
  'a version that maintenance destroys is missed by no running process: jobs go on, nothing looks unwell',
  async () => {
    await ok(['keys', 'init', '--with-audit'])
    const ports = [await freePort(), await freePort()] as const
    const [worker, maintenance] = [watched(ports[0]), watched(ports[1])]
    const fast = {
      SEALFLEET_DESTROY_MIN_WAIT_SECONDS: '1',
      SEALFLEET_DESTROY_SECONDS: '1',
      SEALFLEET_SCRUB_MIB_PER_SECOND: '1000',
    }
    await using workerProcess = await startProgram(
      'worker',
      { ...world.env, SEALFLEET_WORKER_PORT: String(worker.port) },
      world.dir,
    )
    await using houseProcess = await startProgram(
      'maintenance',
      { ...world.env, ...fast, SEALFLEET_MAINTENANCE_PORT: String(maintenance.port) },
      world.dir,
    )
    await sealOne('old')
    await ok(['keys', 'rotate', '--role', 'enc'])
    await sealOne('new')
    // enc 1, enc 2, sig 1.
    await expect.poll(() => checks(worker), ROUNDS).toEqual({ ok: 3, others: 0 })

    const key = ['keys', 'destroy', '--role', 'enc', '--version', '1', '--json']
    const why = ['--reason', 'over', '--backups', 'none', '--wait-days', '0.00001', '--shred']
    const asked = await ok([...key, ...why, '--confirm', 'destroy 1 files of default'], fast)
    const { id } = asked.json<{ request: { id: string } }>().request
    await officers.sign(id)
    await ok([...key, '--request', id], fast)
    await using records = await openRecords(world.databaseUrl)
    const state = async () =>
      (await listMasterKeys(records, { role: 'enc' })).map((row) => `${row.version} ${row.state}`)
    await expect.poll(state, ROUNDS).toEqual(['1 DESTROYED', '2 ACTIVE'])

    await expect.poll(() => checks(worker), ROUNDS).toEqual({ ok: 2, others: 0 })
    // A whole round of probes later it is the same.
    const age = () => worker.figure('sealfleet_hsm_probe_age_seconds')
    const before = await age()
    await expect.poll(async () => (await age()) > before, ROUNDS).toBe(true)
    await expect.poll(async () => (await age()) < 2, { timeout: 60_000, interval: 250 }).toBe(true)
    expect(await checks(worker)).toEqual({ ok: 2, others: 0 })
    expect((await checks(maintenance)).others).toBe(0)
    for (const process of [worker, maintenance]) {
      expect(await process.figure('sealfleet_hsm_key_mismatches_total')).toBe(0)
      expect(await process.figure('sealfleet_hsm_breaker', { state: 'closed' })).toBe(1)
      expect(await process.figure('sealfleet_hsm_agent_restarts_total')).toBe(0)
      expect(await process.figure('sealfleet_breaker_openings_total')).toBe(0)
    }
    expect((await fetch(`http://127.0.0.1:${worker.port}/readyz`)).status).toBe(200)
    for (const { log } of [workerProcess, houseProcess]) expect(log()).not.toMatch(/KEY_MISMATCH|"level":50/)
    expect(workerProcess.log()).toContain('a master key was destroyed: it is not asked for any more')

    const next = await sealOne('next')
    const out = path.join(world.dir, 'next.out')
    await ok(['restore', next, '-o', out])
    await ok(['doctor', 'hsm'])
    await ok(['keys', 'check'])
  },
  LONG,
)
