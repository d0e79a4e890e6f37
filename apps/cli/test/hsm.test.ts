import { fleetPinLatch, listAudit, openRecords, type LoginOutcome } from '@sealfleet/records'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createWorld, type World } from './support/world.js'

interface Latches {
  readonly latches: readonly { readonly tokenSerial: string; readonly pinId: string; readonly state: string }[]
}

let world: World
beforeAll(async () => {
  world = await createWorld()
})
afterAll(() => world[Symbol.asyncDispose]())

describe('sealfleet hsm', () => {
  it('shows a rejected PIN by its name, and lifts its latch with a reason: then a worker may log in again', async () => {
    await using records = await openRecords(world.databaseUrl)
    const latch = fleetPinLatch(records, 'worker-1')
    const id = { serial: 'a1b2c3', token: 'sealfleet', pinId: 'spring' }
    let logins = 0
    const login = (outcome: LoginOutcome) => latch.guard(id, () => (logins++, Promise.resolve(outcome)))
    expect([await login('rejected'), await login('accepted')]).toEqual(['rejected', 'latched'])

    const shown = (await world.inProcess(['hsm', 'latches', '--json'])).json<Latches>()
    expect(shown.latches).toMatchObject([{ tokenSerial: 'a1b2c3', pinId: 'spring', state: 'rejected' }])
    const unlatch = ['hsm', 'unlatch', 'a1b2c3', 'spring', '--reason', 'the PIN file is corrected']
    expect((await world.inProcess([...unlatch, '--dry-run'])).status).toBe(0)
    expect(await login('accepted')).toBe('latched')

    const ran = await world.sealfleet(unlatch)
    expect([ran.status, ran.stdout.toString()]).toEqual([0, 'the PIN "spring" of a1b2c3 is unlatched\n'])
    expect([await login('accepted'), logins]).toEqual(['accepted', 2])
    const audit = await listAudit(records, { subjectKind: 'hsm-pin', subjectId: 'a1b2c3/spring' })
    expect(audit).toMatchObject([{ action: 'hsm.unlatch', detail: { reason: 'the PIN file is corrected' } }])

    const again = await world.inProcess([...unlatch, '--json'])
    expect([again.status, again.json<{ lifted: boolean }>().lifted]).toEqual([0, false])
  })

  it('refuses a PIN that nobody knows, and an empty reason', async () => {
    const unknown = await world.inProcess(['hsm', 'unlatch', 'no-such-token', '--reason', 'x', '--json'])
    expect(unknown.status).toBe(4)
    expect((await world.inProcess(['hsm', 'unlatch', 'a1b2c3', '--reason', ' '])).status).toBe(2)
    expect((await world.inProcess(['hsm', 'unlatch', 'a1b2c3'])).status).toBe(2)
  })
})
