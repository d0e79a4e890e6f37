import { cp, readFile, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { listAudit } from '@sealfleet/records/audit'
import { listLiveWorkers } from '@sealfleet/records/upkeep'
import { listMasterKeys } from '@sealfleet/records/keys'
import { openRecords, type KeyRow, type Records } from '@sealfleet/records'
import { longTest } from '@sealfleet/testkit'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { unconfirmed } from '../src/commands/keys/confirmation.js'
import { createWorld, type World } from './support/world.js'

interface Rotated {
  readonly keys: readonly { readonly label: string; readonly done: string }[]
  readonly confirmedBy: readonly string[] | null
}

interface Refused {
  readonly error: { readonly code: string; readonly message: string; readonly fix: string }
}

const ROTATE = ['keys', 'rotate', '--json']

let world: World
let records: Records
const tokens = () => path.join(path.dirname(world.env['SOFTHSM2_CONF'] ?? ''), 'tokens')

/** What a vendor's cloning makes: another SoftHSM with the keys that this one has now. */
class Clone {
  readonly conf: string
  readonly #dir: string

  constructor() {
    this.#dir = `${tokens()}-clone`
    this.conf = `${this.#dir}.conf`
  }

  async copy(): Promise<void> {
    await rm(this.#dir, { recursive: true, force: true })
    await cp(tokens(), this.#dir, { recursive: true })
    const text = await readFile(world.env['SOFTHSM2_CONF'] ?? '', 'utf8')
    await writeFile(this.conf, text.replace(tokens(), this.#dir))
  }
}

const versions = async (state: KeyRow['state']) =>
  (await listMasterKeys(records, { domain: 'default', state })).map(({ role, version }) => `${role} ${version}`)

const idsOf = async () => (await listLiveWorkers(records)).map(({ id }) => id)

async function store(name: string, count: number): Promise<void> {
  const names = Array.from({ length: count }, (_, i) => `${name}-${i}`)
  await Promise.all(names.map((one) => writeFile(path.join(world.data, one), one)))
  const ran = await world.sealfleet(['enqueue', ...names, '--wait', '--json'])
  expect(ran.status, ran.stderr).toBe(0)
}

describe('sealfleet keys rotate while workers run', { timeout: 240_000 }, () => {
  beforeEach(async () => {
    world = await createWorld()
    records = await openRecords(world.databaseUrl)
    expect((await world.sealfleet(['keys', 'init'])).status).toBe(0)
  })
  afterEach(async () => {
    await records.close()
    await world[Symbol.asyncDispose]()
  })

  it('activates when every worker has confirmed both keys, and files go on being stored meanwhile', async () => {
    await using _one = await world.worker()
    await using _two = await world.worker()
    const load = store('during', 40)
    const ran = await world.sealfleet(ROTATE)
    expect(ran.status, ran.stdout.toString()).toBe(0)
    expect(new Set(ran.json<Rotated>().confirmedBy)).toEqual(new Set(await idsOf()))
    expect(ran.json<Rotated>().confirmedBy).toHaveLength(2)
    expect(await versions('ACTIVE')).toEqual(['enc 2', 'sig 2'])
    await load
    await store('after', 5)
    const [key] = await listMasterKeys(records, { domain: 'default', role: 'enc', state: 'ACTIVE' })
    const audit = await listAudit(records, { subjectKind: 'key', subjectId: key?.id ?? '' })
    expect(audit.map(({ action }) => action)).toEqual(['keys.generate', 'keys.activate'])
    expect(audit[1]?.detail).toMatchObject({ confirmedBy: ran.json<Rotated>().confirmedBy })
    expect((await world.sealfleet(['verify', '--all'])).status).toBe(0)
  })

  longTest(
    'leaves the version PENDING when a worker’s token lacks it, says whose, and goes on with it when it has come',
    async () => {
      const clone = new Clone()
      await clone.copy()
      await using _well = await world.worker()
      const [well = ''] = await idsOf()
      await using _poor = await world.worker({ SOFTHSM2_CONF: clone.conf })
      const poor = (await idsOf()).find((id) => id !== well) ?? ''

      const ran = await world.sealfleet([...ROTATE, '--wait', '12'])
      expect(ran.status).toBe(1)
      const { error } = ran.json<Refused>()
      expect(error.code).toBe('KEY_NOT_EVERYWHERE')
      expect(error.message).toContain('1 of 2 workers did not confirm')
      expect(error.message).toMatch(new RegExp(`${poor} .*sealfleet/default/enc/s1/2 is not on token primary`))
      expect(error.message).not.toContain(well)
      expect(error.fix).toContain('same command again')
      expect(await versions('PENDING')).toEqual(['enc 2', 'sig 2'])
      expect(await versions('ACTIVE')).toEqual(['enc 1', 'sig 1'])
      await store('pending', 4)

      await clone.copy()
      const again = await world.sealfleet(ROTATE)
      expect(again.status, again.stdout.toString()).toBe(0)
      expect(again.json<Rotated>().keys.map(({ label }) => label)).toEqual([
        'sealfleet/default/enc/s1/2',
        'sealfleet/default/sig/s1/2',
      ])
      expect(await versions('ACTIVE')).toEqual(['enc 2', 'sig 2'])
      expect(await versions('PENDING')).toEqual([])
      await store('active', 4)
    },
  )

  longTest(
    'counts a secondary token that lacks the key, and activates all the same with --no-wait, which says what that means',
    async () => {
      const clone = new Clone()
      await clone.copy()
      const pinFile = path.join(world.dir, 'pin')
      await writeFile(pinFile, world.env['SEALFLEET_PKCS11_PIN'] ?? '', { mode: 0o600 })
      const secondary = `token=${world.env['SEALFLEET_PKCS11_TOKEN']},pin-file=${pinFile},env.SOFTHSM2_CONF=${clone.conf}`
      await using _worker = await world.worker({ SEALFLEET_PKCS11_SECONDARIES: secondary })

      const ran = await world.sealfleet(['keys', 'rotate', '--role', 'enc', '--wait', '10'])
      expect(ran.status).toBe(1)
      expect(ran.stderr).toMatch(/waiting for 1 of 1 worker /)
      expect(ran.stderr).toMatch(/KEY_NOT_EVERYWHERE: .*\n.*enc\/s1\/2 is not on token secondary-1/)
      expect(ran.stderr).not.toContain('token primary')

      const forced = await world.sealfleet(['keys', 'rotate', '--role', 'enc', '--no-wait'])
      expect([forced.status, forced.stderr]).toEqual([0, expect.stringContaining('warning: not waiting')])
      expect(await versions('ACTIVE')).toEqual(['enc 2', 'sig 1'])
      const [key] = await listMasterKeys(records, { domain: 'default', role: 'enc', state: 'ACTIVE' })
      const audit = await listAudit(records, { subjectKind: 'key', subjectId: key?.id ?? '' })
      expect(audit.at(-1)).toMatchObject({ action: 'keys.activate', detail: { confirmedBy: null } })

      const check = (SEALFLEET_PKCS11_SECONDARIES: string, ...flags: string[]) =>
        world.sealfleet(['keys', 'check', ...flags], { env: { SEALFLEET_PKCS11_SECONDARIES } })
      const lacking = await check(secondary, '--json')
      expect(lacking.status).toBe(5)
      expect(lacking.json<{ keys: object[] }>().keys).toContainEqual({
        label: 'sealfleet/default/enc/s1/2',
        state: 'ACTIVE',
        outcome: 'ok',
        tokens: { primary: 'ok', 'secondary-1': 'missing' },
      })
      expect((await check(secondary)).stderr).toContain('sealfleet/default/enc/s1/2: missing in the token secondary-1')
      await clone.copy()
      expect((await check(secondary)).status).toBe(0)
      const away = await check(secondary.replace(/token=[^,]+/, 'token=gone'), '--json')
      expect(away.status).toBe(6)
      expect(away.json<{ tokens: object[] }>().tokens).toMatchObject([
        { name: 'primary', reached: true },
        { name: 'secondary-1', reached: false, error: { code: 'HSM_UNAVAILABLE' } },
      ])
    },
  )

  longTest('of three at once, all waiting for the same workers, exactly one wins', async () => {
    await using _worker = await world.worker()
    const runs = await Promise.all([1, 2, 3].map(() => world.sealfleet(ROTATE)))
    expect(runs.map(({ status }) => status).sort()).toEqual([0, 1, 1])
    for (const lost of runs.filter(({ status }) => status === 1))
      expect(lost.json<Refused>().error.code).toBe('BAD_STATE')
    expect(await versions('ACTIVE')).toEqual(['enc 2', 'sig 2'])
    expect(await versions('PENDING')).toEqual([])
  })

  longTest('keys init waits as well: a new domain’s first keys are active when the worker has them', async () => {
    await world.sealfleet(['domains', 'add', 'fresh'])
    await using _worker = await world.worker()
    const ran = await world.sealfleet(['keys', 'init', '--domain', 'fresh', '--json'])
    expect(ran.status, ran.stdout.toString()).toBe(0)
    expect(ran.json<Rotated>().confirmedBy).toEqual(await idsOf())
    // Nothing new to confirm: no one is asked.
    expect((await world.sealfleet(['keys', 'init', '--domain', 'fresh', '--wait', '0'])).status).toBe(0)
    const dry = (await world.sealfleet([...ROTATE, '--domain', 'fresh', '--dry-run'])).json<{ workers: string[] }>()
    expect(dry.workers).toEqual(await idsOf())
  })

  longTest('refuses to activate a version that was left PENDING and is no longer in the token', async () => {
    const before = new Clone()
    await before.copy()
    await using _poor = await world.worker({ SOFTHSM2_CONF: before.conf })
    expect((await world.sealfleet([...ROTATE, '--wait', '0'])).status).toBe(1)
    await rm(tokens(), { recursive: true })
    await cp(`${tokens()}-clone`, tokens(), { recursive: true })
    const ran = await world.sealfleet([...ROTATE, '--no-wait'])
    expect([ran.status, ran.json<Refused>().error.code]).toEqual([5, 'E_KEY_UNKNOWN'])
    expect(await versions('ACTIVE')).toEqual(['enc 1', 'sig 1'])
  })
})

describe('who has not confirmed', () => {
  const key = { id: 'k1', role: 'enc', domain: 'default', suite: 1, version: 2 } as KeyRow
  const worker = { id: 'w', host: 'h' }

  it.each([
    ['reports no keys', null, ['sealfleet/default/enc/s1/2: the worker reports no keys (an older version?)']],
    ['has not looked', { confirmed: [], lacking: [] }, ['sealfleet/default/enc/s1/2: not checked yet']],
    ['confirmed it', { confirmed: ['k1'], lacking: [] }, undefined],
    ['confirmed another', { confirmed: ['k2'], lacking: [] }, ['sealfleet/default/enc/s1/2: not checked yet']],
    [
      'lacks it on two tokens',
      {
        confirmed: [],
        lacking: [
          { key: 'k1', token: 'primary', state: 'mismatch' },
          { key: 'k1', token: 'secondary-1', state: 'unreachable' },
        ],
      },
      [
        'sealfleet/default/enc/s1/2 is another key on token primary',
        'sealfleet/default/enc/s1/2 could not be checked on token secondary-1',
      ],
    ],
  ])('a worker that %s', (_what, keys, lacks) => {
    const found = unconfirmed([{ ...worker, keys }], [key])
    expect(found.map((one) => one.lacks)).toEqual(lacks === undefined ? [] : [lacks])
  })
})
