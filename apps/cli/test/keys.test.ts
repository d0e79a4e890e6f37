import { openKeyAdmin } from '@sealfleet/hsm'
import { openRecords } from '@sealfleet/records'
import { registerMasterKey } from '@sealfleet/records/keys'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { noteBegun } from '../src/commands/keys/made-here.js'
import { createWorld, type World } from './support/world.js'

interface InitReport {
  readonly keys: readonly { readonly label: string; readonly done: string; readonly checkValue: string | null }[]
}

let world: World
beforeAll(async () => {
  world = await createWorld()
})
afterAll(() => world[Symbol.asyncDispose]())

const admin = () =>
  openKeyAdmin({
    module: world.env['SEALFLEET_PKCS11_MODULE'] ?? '',
    token: world.env['SEALFLEET_PKCS11_TOKEN'] ?? '',
    pin: { kind: 'value', value: Buffer.from(world.env['SEALFLEET_PKCS11_PIN'] ?? '') },
    env: { SOFTHSM2_CONF: world.env['SOFTHSM2_CONF'] ?? '' },
  })

describe('sealfleet keys', () => {
  it('says what init would do, and does nothing', async () => {
    const ran = await world.sealfleet(['keys', 'init', '--dry-run', '--json'])
    expect(ran.json<InitReport>().keys.map(({ label }) => label)).toContain('sealfleet/default/enc/s1/1')
    await using token = await admin()
    expect(await token.list()).toEqual([])
    expect((await world.sealfleet(['keys', 'list', '--json'])).json()).toEqual({ keys: [] })
  })

  it('goes on where an earlier run stopped between token and records', async () => {
    {
      await using token = await admin()
      await token.generate({ role: 'enc', domain: 'default', suite: 1, version: 1 })
      await using records = await openRecords(world.databaseUrl)
      await noteBegun(records, { role: 'enc', domain: 'default', suite: 1, version: 1 }, 'cli:stopped')
    }
    const ran = await world.sealfleet(['keys', 'init', '--json'])
    expect(ran.status, ran.stderr).toBe(0)
    const { keys } = ran.json<InitReport>()
    expect(keys.map(({ label, done }) => `${label}: ${done}`)).toEqual([
      'sealfleet/default/enc/s1/1: registered: it was in the token, without a record',
      'sealfleet/default/enc/s1/1: active',
      'sealfleet/default/sig/s1/1: made in the HSM and registered',
      'sealfleet/default/sig/s1/1: active',
    ])
    await using token = await admin()
    const kcv = await token.checkValue({ role: 'enc', domain: 'default', suite: 1, version: 1 })
    expect(keys[1]?.checkValue).toBe(kcv.toString('hex'))
    expect(await token.list()).toHaveLength(2)
  })

  it('says what is there the second time, and makes an audit key when asked', async () => {
    const again = (await world.sealfleet(['keys', 'init', '--with-audit', '--json'])).json<InitReport>()
    expect(again.keys.map(({ label, done }) => `${label}: ${done}`)).toEqual([
      'sealfleet/default/enc/s1/1: active already',
      'sealfleet/default/sig/s1/1: active already',
      'sealfleet/audit/1: made in the HSM and registered',
      'sealfleet/audit/1: active',
    ])
  })

  it('never makes two keys under one label, however many run at once', async () => {
    await world.sealfleet(['domains', 'add', 'rush', '--suite', '2'])
    const runs = await Promise.all([1, 2, 3].map(() => world.sealfleet(['keys', 'init', '--domain', 'rush', '--json'])))
    expect(runs.map(({ status }) => status)).toEqual([0, 0, 0])
    await using token = await admin()
    const labels = (await token.list()).map(({ label }) => label).filter((label) => label.includes('/s2/'))
    expect(labels).toHaveLength(2)
    expect(new Set(labels).size).toBe(2)
  })

  it('makes a KEK for a domain of detached nonces, which wants the danger acknowledged', async () => {
    const refused = await world.sealfleet(['domains', 'add', 'shred', '--nonces', 'detached'])
    expect(refused.status).toBe(2)
    await world.sealfleet(['domains', 'add', 'shred', '--nonces', 'detached', '--accept-loss-with-database'])
    const { keys } = (await world.sealfleet(['keys', 'init', '--domain', 'shred', '--json'])).json<InitReport>()
    expect(keys.filter(({ label }) => label.includes('/kek/1'))).toHaveLength(2)
    expect((await world.sealfleet(['keys', 'check'])).status).toBe(0)
  })

  it('rotates: a new version is active, the old one only opens, and of several at once one wins', async () => {
    await world.sealfleet(['domains', 'add', 'turning'])
    const rotate = ['keys', 'rotate', '--domain', 'turning', '--json']
    const early = await world.sealfleet(rotate)
    expect(early.status).toBe(5)
    expect(early.json<{ error: { code: string; fix: string } }>().error).toMatchObject({ code: 'NO_ACTIVE_KEY' })
    expect((await world.sealfleet(['keys', 'init', '--domain', 'turning'])).status).toBe(0)

    const dry = (await world.sealfleet([...rotate, '--dry-run'])).json<InitReport>()
    expect(dry.keys.map(({ done }) => done)).toContain('active; version 1 only opens from now on')
    const states = async () =>
      (await world.sealfleet(['keys', 'list', '--domain', 'turning', '--json']))
        .json<{ keys: { role: string; version: number; state: string }[] }>()
        .keys.map(({ role, version, state }) => `${role} ${version} ${state}`)
    expect(await states()).toEqual(['enc 1 ACTIVE', 'sig 1 ACTIVE'])

    const runs = await Promise.all([1, 2, 3].map(() => world.sealfleet(rotate)))
    expect(runs.map(({ status }) => status).sort()).toEqual([0, 1, 1])
    for (const lost of runs.filter(({ status }) => status === 1))
      expect(lost.json<{ error: { code: string } }>().error.code).toBe('BAD_STATE')
    expect(await states()).toEqual(['enc 1 DECRYPT_ONLY', 'enc 2 ACTIVE', 'sig 1 DECRYPT_ONLY', 'sig 2 ACTIVE'])
    expect((await world.sealfleet([...rotate, '--role', 'enc'])).status).toBe(0)
    expect(await states()).toContain('enc 3 ACTIVE')
    expect(await states()).toContain('sig 2 ACTIVE')
    expect((await world.sealfleet(['keys', 'check', '--domain', 'turning'])).status).toBe(0)
  })

  it('finds a key that is not the registered one, and one that is gone: status 5', async () => {
    await using records = await openRecords(world.databaseUrl)
    {
      await using token = await admin()
      await token.generate({ role: 'enc', domain: 'default', suite: 1, version: 7 })
    }
    const ref = { role: 'enc', domain: 'default', suite: 1 } as const
    await registerMasterKey(records, { ref: { ...ref, version: 7 }, checkValue: Buffer.alloc(8, 1) })
    await registerMasterKey(records, { ref: { ...ref, version: 8 }, checkValue: Buffer.alloc(8, 2) })
    const ran = await world.sealfleet(['keys', 'check', '--domain', 'default', '--json'])
    expect(ran.status).toBe(5)
    const outcomes = ran.json<{ keys: { label: string; outcome: string }[] }>().keys
    expect(outcomes).toContainEqual(
      expect.objectContaining({ label: 'sealfleet/default/enc/s1/7', outcome: 'mismatch' }),
    )
    expect(outcomes).toContainEqual(
      expect.objectContaining({ label: 'sealfleet/default/enc/s1/8', outcome: 'missing' }),
    )
  })

  it('refuses an unknown domain and a domain that exists with another suite', async () => {
    expect((await world.sealfleet(['keys', 'init', '--domain', 'nobody'])).status).toBe(4)
    expect((await world.sealfleet(['keys', 'init', '--suite', '2'])).status).toBe(1)
  })
})
