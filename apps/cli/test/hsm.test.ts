import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import type { LoginOutcome } from '@sealfleet/hsm'
import { clearPinLockout, fleetPinLockout, listPinLockouts } from '@sealfleet/records/keys'
import { listAudit } from '@sealfleet/records/audit'
import { openRecords } from '@sealfleet/records'
import { Faulty, longTest } from '@sealfleet/testkit'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createWorld, type World } from './support/world.js'

interface Lockouts {
  readonly lockouts: readonly { readonly tokenSerial: string; readonly pinId: string; readonly state: string }[]
}

let world: World
beforeAll(async () => {
  world = await createWorld()
})
afterAll(() => world[Symbol.asyncDispose]())

describe('sealfleet doctor pin', () => {
  it('shows a rejected PIN by its name, and resets it with a reason: then a worker may log in again', async () => {
    await using records = await openRecords(world.databaseUrl)
    const lockout = fleetPinLockout(records, 'worker-1')
    const id = { serial: 'a1b2c3', token: 'sealfleet', pinId: 'spring' }
    let logins = 0
    const login = (outcome: LoginOutcome) => lockout.guard(id, () => (logins++, Promise.resolve(outcome)))
    expect([await login('rejected'), await login('accepted')]).toEqual(['rejected', 'locked-out'])

    const shown = (await world.inProcess(['doctor', 'pin', 'list', '--json'])).json<Lockouts>()
    expect(shown.lockouts).toMatchObject([{ tokenSerial: 'a1b2c3', pinId: 'spring', state: 'rejected' }])
    const reset = ['doctor', 'pin', 'reset', 'a1b2c3', 'spring', '--reason', 'the PIN file is corrected']
    expect((await world.inProcess([...reset, '--dry-run'])).status).toBe(0)
    expect(await login('accepted')).toBe('locked-out')

    const ran = await world.sealfleet(reset)
    expect([ran.status, ran.stdout.toString()]).toEqual([
      0,
      'the PIN "spring" of a1b2c3 is tried again by the next login\n',
    ])
    expect([await login('accepted'), logins]).toEqual(['accepted', 2])
    const audit = await listAudit(records, { subjectKind: 'hsm-pin', subjectId: 'a1b2c3/spring' })
    expect(audit).toMatchObject([{ action: 'hsm.unlatch', detail: { reason: 'the PIN file is corrected' } }])

    const again = await world.inProcess([...reset, '--json'])
    expect([again.status, again.json<{ reset: boolean }>().reset]).toEqual([0, false])
  })

  it('refuses a PIN that no one knows, and an empty reason', async () => {
    const unknown = await world.inProcess(['doctor', 'pin', 'reset', 'no-such-token', '--reason', 'x', '--json'])
    expect(unknown.status).toBe(4)
    expect((await world.inProcess(['doctor', 'pin', 'reset', 'a1b2c3', '--reason', ' '])).status).toBe(2)
    expect((await world.inProcess(['doctor', 'pin', 'reset', 'a1b2c3'])).status).toBe(2)
  })
})

describe('logins of commands', () => {
  longTest(
    'share the fleet’s PIN lockout: a PIN that one command had rejected is tried by no other, nor by a worker',
    { timeout: 240_000 },
    async () => {
      await using records = await openRecords(world.databaseUrl)
      const { SEALFLEET_PKCS11_MODULE: module = '', SOFTHSM2_CONF = '' } = world.env
      await using faulty = await Faulty.over({ module, env: { SOFTHSM2_CONF } })
      const env = { ...faulty.token.env, SEALFLEET_PKCS11_MODULE: faulty.token.module }
      const wrong = { ...env, SEALFLEET_PKCS11_PIN: '00000000', SEALFLEET_PKCS11_PIN_ID: 'shared' }
      const logins = async (run: Promise<unknown>): Promise<number> => {
        const before = await faulty.calls('C_Login')
        await run
        return (await faulty.calls('C_Login')) - before
      }
      const refused = async (args: readonly string[]) => {
        const ran = await world.spawned([...args, '--json'], { env: wrong })
        return [ran.status, ran.json<{ error: { code: string } }>().error.code]
      }
      const denied = [6, 'HSM_ACCESS_DENIED']
      // The right PIN, under a name of its own.
      const right = { ...env, SEALFLEET_PKCS11_PIN_ID: 'own' }
      expect((await world.spawned(['keys', 'init'], { env: right })).status).toBe(0)

      expect(await logins(refused(['keys', 'check']).then((end) => expect(end).toEqual(denied)))).toBe(1)
      const lockout = (await listPinLockouts(records)).find(({ pinId }) => pinId === 'shared')
      expect(lockout).toMatchObject({ state: 'rejected', setBy: expect.stringMatching(/^cli:/) as string })

      for (const verb of [
        ['verify', '--all'],
        ['keys', 'rotate'],
      ]) {
        expect([verb, await logins(refused(verb).then((end) => expect(end).toEqual(denied)))]).toEqual([verb, 0])
      }
      expect(await logins(world.spawned(['doctor'], { env: wrong }))).toBe(0)
      const worker = world.worker({ ...wrong, SEALFLEET_HSM_AGENTS: '1' }).then(
        () => 'runs',
        (error: unknown) => (error as { code?: unknown }).code,
      )
      expect(await logins(worker)).toBe(0)
      expect(await worker).toBe('HSM_ACCESS_DENIED')

      // The name is locked out, not the PIN: the right one is not tried under it either, before it is reset.
      const mended = { ...env, SEALFLEET_PKCS11_PIN_ID: 'shared' }
      expect(await logins(world.spawned(['keys', 'check'], { env: mended }))).toBe(0)
      await clearPinLockout(records, { tokenSerial: lockout?.tokenSerial ?? '', pinId: 'shared' })
      expect((await world.spawned(['keys', 'check'], { env: mended })).status).toBe(0)

      // Works with the HSM alone, so without a lockout.
      await records.close()
      const object = path.join(world.dir, 'object')
      await writeFile(object, '')
      const blind = { ...right, SEALFLEET_DATABASE_URL: undefined, SEALFLEET_REDIS_URL: undefined }
      expect((await world.spawned(['object', 'verify', object, '--context-unchecked'], { env: blind })).status).toBe(3)
    },
  )
})
