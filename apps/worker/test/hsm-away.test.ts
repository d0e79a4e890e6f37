import { randomBytes } from 'node:crypto'
import { cp, readFile, rename, writeFile } from 'node:fs/promises'
import path from 'node:path'

import { getFile } from '@sealfleet/records'
import type { FreshToken } from '@sealfleet/testkit'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import type { Step, StepHook } from '../src/attempt/steps.js'
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

/** Takes the token away at the first such moment of an attempt. */
function leavesAt(token: Leaving, step: Step, when: 'before' | 'after'): StepHook {
  let left = false
  return async (...at) => {
    if (left || at[0] !== step || at[1] !== when) return
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

/** When the HSM goes in the course of one attempt, or is gone when a worker comes: no attempt is burned, every file is stored. */
describe('a token that is away', () => {
  let fleet: Fleet
  let tokens: string

  beforeAll(async () => {
    fleet = await startFleet()
    tokens = path.join(fleet.token.dir, 'tokens')
  })
  afterAll(() => fleet?.[Symbol.asyncDispose]())

  const firstAttempts = async (ids: readonly string[]) =>
    Promise.all(ids.map(async (id) => (await getFile(fleet.records, id))?.committed?.attemptNo))

  /** Files that are asked for while the token is away are all stored when it is back. */
  async function storesWhatCame(patient: Patient, token: Leaving, name: string): Promise<void> {
    const ids = await enqueue(fleet, name)
    await expect.poll(() => patient.said('open', 'hsm').length, { timeout: 90_000 }).toBeGreaterThanOrEqual(1)
    await token.comeBack()
    await expectWhole(fleet, ids, patient.said('open', 'hsm').length)
  }

  test.each<[string, Step, 'before' | 'after']>([
    ['while parts of a large file go up', 'upload', 'before'],
    ['before the object is completed', 'complete', 'before'],
    ['before the commit', 'commit', 'before'],
  ])(
    'from the moment %s: that file is stored without it, at its first attempt',
    async (name, step, when) => {
      await using token = new Leaving(tokens)
      await using patient = await Patient.start(fleet, {}, leavesAt(token, step, when))
      const content = randomBytes(20 << 20)
      const source = `${step}/large`
      await fleet.writeSource(source, content)
      const { fileId = '' } = await fleet.producer.client.enqueue({ root: 'in', path: source })
      await expectWhole(fleet, [fileId], 0)
      expect(await firstAttempts([fileId])).toEqual([1])
      await storesWhatCame(patient, token, name.replaceAll(' ', '-'))
      expect((await fleet.restore(fileId)).equals(content)).toBe(true)
    },
    180_000,
  )

  test.each<[string, Step, 'before' | 'after']>([
    ['before its nonces are made', 'nonces', 'before'],
    ['before its keys are derived', 'derive', 'before'],
  ])(
    'from the moment %s, for longer than two leases: the file is given back and stored when the token is back',
    async (name, step, when) => {
      await using token = new Leaving(tokens)
      await using patient = await Patient.start(fleet, {}, leavesAt(token, step, when))
      const ids = await enqueue(fleet, name.replaceAll(' ', '-'), 4)
      const leases = 2 * Number(SETTINGS.SEALFLEET_LEASE_SECONDS)
      const outFor = async () => Number(/HSM_\w+ for (\d+) s/.exec((await patient.ask('readyz')).text)?.[1] ?? 0)
      await expect.poll(outFor, { timeout: 120_000 }).toBeGreaterThan(leases)
      await token.comeBack()
      await expectWhole(fleet, ids, patient.said('open', 'hsm').length)
    },
    240_000,
  )

  test('and so is the secondary: the files wait, and are stored when one of the two is back', async () => {
    const { label, pinFile } = fleet.token
    const { folder, conf } = await cloneOf(fleet.token)
    await using primary = new Leaving(tokens)
    await using secondary = new Leaving(folder)
    await using patient = await Patient.start(fleet, {
      SEALFLEET_PKCS11_SECONDARIES: `token=${label},pin-file=${pinFile},env.SOFTHSM2_CONF=${conf}`,
    })
    await expectWhole(fleet, await enqueue(fleet, 'both-there'), 0)
    await primary.leave()
    await secondary.leave()
    await storesWhatCame(patient, secondary, 'both-away')
    expect(await patient.metric('hsm_token_serving{token="secondary-1"}')).toBe(1)
  }, 240_000)

  test('under a worker that is killed and started again meanwhile: it refuses to start, touches no file, and stores all later', async () => {
    const env = { PATH: process.env['PATH'], ...fleet.token.env, ...fleet.env, ...SETTINGS }
    await using token = new Leaving(tokens)
    const first = new WorkerProcess(env)
    await first.saying('taking jobs')
    await token.leave()
    const ids = await enqueue(fleet, 'restarted')
    const said = (text: string) => first.lines.some((line) => JSON.stringify(line).includes(text))
    await expect.poll(() => said('"breaker":"open"') && said('"dependency":"hsm"'), { timeout: 90_000 }).toBe(true)
    first.child.kill('SIGKILL')
    await first.exit

    const second = new WorkerProcess(env)
    expect(await second.exit).toBe(6)
    expect(second.lines.at(-1)).toMatchObject({ code: 'HSM_UNAVAILABLE' })
    const states = await Promise.all(ids.map((id) => getFile(fleet.records, id)))
    expect(states.map((found) => found?.file.state)).toEqual(ids.map(() => 'QUEUED'))

    await token.comeBack()
    await using patient = await Patient.start(fleet)
    await expectWhole(fleet, ids, 2)
    expect(patient.said('open', 'hsm')).toEqual([])
  }, 240_000)
})
