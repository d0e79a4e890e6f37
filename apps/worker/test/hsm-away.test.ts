import type { Step, StepHook } from '@sealfleet/attempts'
import { randomBytes } from 'node:crypto'
import { cp, readFile, rename, writeFile } from 'node:fs/promises'
import path from 'node:path'

import { getFile } from '@sealfleet/records/files'
import { every, type FreshToken, longTest, matrix } from '@sealfleet/testkit'
import { describe, test, type ExpectStatic } from 'vitest'

import { startFleet, type Fleet } from './fleet.js'
import { enqueue, expectWhole, Patient, SETTINGS } from './patient.js'
import { WorkerProcess } from './worker-process.js'

/** A token whose folder can be taken away: every module that comes later finds none, and those that run lose their keys. */
class Leaving implements AsyncDisposable {
  readonly #folders: readonly string[]
  #away = false

  constructor(...folders: readonly string[]) {
    this.#folders = folders
  }

  async leave(): Promise<void> {
    this.#away = true
    for (const folder of this.#folders) await rename(folder, `${folder}-away`)
  }

  async comeBack(): Promise<void> {
    if (this.#away) for (const folder of this.#folders) await rename(`${folder}-away`, folder)
    this.#away = false
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.comeBack()
  }
}

/** Takes the token away before the first such step of an attempt. */
function leavesAt(token: Leaving, step: Step): StepHook {
  let left = false
  return async (at, when) => {
    if (left || at !== step || when !== 'before') return
    left = true
    await token.leave()
  }
}

/** Another SoftHSM with the very keys of this one, as a vendor's cloning makes it. */
async function cloneOf(token: FreshToken): Promise<{ folder: string; conf: string }> {
  const [tokens, folder, conf] = ['tokens', 'clone', 'clone.conf'].map((name) => path.join(token.dir, name)) as [
    string,
    string,
    string,
  ]
  await cp(tokens, folder, { recursive: true })
  await writeFile(conf, (await readFile(token.env.SOFTHSM2_CONF, 'utf8')).replace(tokens, folder))
  return { folder, conf }
}

const tokensOf = (fleet: Fleet): string => path.join(fleet.token.dir, 'tokens')

const firstAttempts = async (fleet: Fleet, ids: readonly string[]) =>
  Promise.all(ids.map(async (id) => (await getFile(fleet.records, id))?.committed?.attemptNo))

/** Files that are asked for while the token is away are all stored when it is back. */
async function storesWhatCame(fleet: Fleet, patient: Patient, token: Leaving, expect: ExpectStatic): Promise<void> {
  const ids = await enqueue(fleet, 'meanwhile')
  await expect.poll(() => patient.said('open', 'hsm').length, { timeout: 90_000 }).toBeGreaterThanOrEqual(1)
  await token.comeBack()
  // The breaker may open once more before all is well.
  await expectWhole(fleet, ids, patient.said('open', 'hsm').length + 1)
  expect(await patient.metric('hsm_logins_total{token="primary",outcome="refused"}')).toBeUndefined()
}

/** When the HSM goes in the course of an attempt, or is gone when a worker comes: no attempt is burned, every file is stored. */
describe('a token that is away', { timeout: 240_000 }, () => {
  const moments: readonly [string, Step][] = [
    ['while parts of a large file go up', 'upload'],
    ['before the commit', 'commit'],
  ]
  const at = matrix(moments, every(2))
  at('%s: that file is stored without it, at its first attempt', { concurrent: true }, async ([, step], { expect }) => {
    await using fleet = await startFleet()
    await using token = new Leaving(tokensOf(fleet))
    await using patient = await Patient.start(fleet, {}, leavesAt(token, step))
    const content = randomBytes(20 << 20)
    await fleet.writeSource('large', content)
    const { fileId = '' } = await fleet.producer.client.enqueue({ root: 'in', path: 'large' })
    await expectWhole(fleet, [fileId], 0)
    expect(await firstAttempts(fleet, [fileId])).toEqual([1])
    await storesWhatCame(fleet, patient, token, expect)
    expect((await fleet.restore(fileId)).equals(content)).toBe(true)
  })

  test.concurrent(
    'before keys are derived, for longer than two leases: the files are given back and stored later',
    async ({ expect }) => {
      await using fleet = await startFleet()
      await using token = new Leaving(tokensOf(fleet))
      await using patient = await Patient.start(fleet, {}, leavesAt(token, 'derive'))
      const ids = await enqueue(fleet, 'waiting', 4)
      const leases = 2 * Number(SETTINGS.SEALFLEET_LEASE_SECONDS)
      const outFor = async () => Number(/HSM_\w+ for (\d+) s/.exec((await patient.ask('readyz')).text)?.[1] ?? 0)
      await expect.poll(outFor, { timeout: 120_000 }).toBeGreaterThan(leases)
      await token.comeBack()
      await expectWhole(fleet, ids, patient.said('open', 'hsm').length + 1)
      expect(await patient.metric('hsm_logins_total{token="primary",outcome="refused"}')).toBeUndefined()
    },
  )

  longTest(
    'and so is the secondary: the files wait, and are stored when one of the two is back',
    { concurrent: true },
    async ({ expect }) => {
      await using fleet = await startFleet()
      const { label, pinFile } = fleet.token
      const { folder, conf } = await cloneOf(fleet.token)
      await using primary = new Leaving(tokensOf(fleet))
      await using secondary = new Leaving(folder)
      await using patient = await Patient.start(fleet, {
        SEALFLEET_PKCS11_SECONDARIES: `token=${label},pin-file=${pinFile},env.SOFTHSM2_CONF=${conf}`,
      })
      await expectWhole(fleet, await enqueue(fleet, 'both-there'), 0)
      await primary.leave()
      await secondary.leave()
      await storesWhatCame(fleet, patient, secondary, expect)
      expect(await patient.metric('hsm_token_serving{token="secondary-1"}')).toBe(1)
    },
  )

  longTest(
    'while its worker is killed: the next one refuses to start, touches no file, and stores all later',
    { concurrent: true },
    async ({ expect }) => {
      await using fleet = await startFleet()
      const env = { PATH: process.env['PATH'], ...fleet.token.env, ...fleet.env, ...SETTINGS }
      await using token = new Leaving(tokensOf(fleet))
      await using first = new WorkerProcess(env)
      await first.saying('taking jobs')
      await token.leave()
      const ids = await enqueue(fleet, 'restarted')
      const open = () => first.lines.some((line) => line.breaker === 'open' && line.dependency === 'hsm')
      const states = async () => {
        const found = await Promise.all(ids.map((id) => getFile(fleet.records, id)))
        return { open: open(), states: [...new Set(found.map((one) => one?.file.state))] }
      }
      const given = { open: true, states: ['QUEUED'] }
      await expect.poll(states, { timeout: 90_000 }).toEqual(given)
      first.child.kill('SIGKILL')
      await first.exit

      await using second = new WorkerProcess(env)
      expect(await second.exit).toBe(6)
      expect(second.lines.at(-1)).toMatchObject({ code: 'HSM_UNAVAILABLE' })
      expect(await states()).toEqual(given)

      await token.comeBack()
      await using patient = await Patient.start(fleet)
      await expectWhole(fleet, ids, 2)
      expect(patient.said('open', 'hsm')).toEqual([])
    },
  )
})
