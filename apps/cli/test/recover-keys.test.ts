import { HsmPool, openKeyAdmin, type TokenOptions } from '@sealfleet/hsm'
import { destructionCopy, destructionStoreKey } from '@sealfleet/keys'
import { listMasterKeys } from '@sealfleet/records/keys'
import { openRecords } from '@sealfleet/records'
import { freshDatabase } from '@sealfleet/testkit'
import { randomBytes, randomUUID } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { planRole } from '@sealfleet/keys'
import { planKeys } from '../src/commands/recover/keys.js'
import { openAttempts } from './support/attempts.js'
import { createWorld, type World } from './support/world.js'

type Role = 'enc' | 'sig' | 'kek'
const DOMAIN = 'b549fcf8-ceda-48e7-956d-e8cd3f2dda24'
const key = (role: Role, version: number, suite: 1 | 2 = 1) => ({ ref: { role, domain: DOMAIN, suite, version } })
const row = (role: Role, version: number, state: 'PENDING' | 'ACTIVE' | 'DECRYPT_ONLY' | 'DESTROYED') => ({
  ...key(role, version).ref,
  state,
})
const plan = (
  token: ReturnType<typeof key>[],
  rows: ReturnType<typeof row>[] = [],
  surveyed: Parameters<typeof planKeys>[2] = new Map(),
) => planKeys(token, rows, surveyed)[0]
const states = (of: ReturnType<typeof plan>) =>
  of?.keys.map(({ ref, state }) => `${ref.role} s${ref.suite}/${ref.version} ${state}`)
const sealed = (nonceMode: 'inline' | 'detached', segLog2 = 16) =>
  new Map([[DOMAIN, { objects: 1, newest: { createdMs: 1, nonceMode, segLog2 } }]])

describe('what recover makes of a token’s keys', () => {
  it('makes the newest of each role active, and the older ones open only', () => {
    expect(states(plan([key('enc', 2), key('enc', 1), key('sig', 3)]))).toEqual([
      'enc s1/1 DECRYPT_ONLY',
      'enc s1/2 ACTIVE',
      'sig s1/3 ACTIVE',
    ])
  })

  it('takes the suite of the newest enc key that has a sig key beside it', () => {
    const domain = plan([key('enc', 1), key('sig', 1), key('enc', 2, 2), key('sig', 2, 2)])
    expect(domain?.suite).toBe(2)
    expect(states(domain)).toEqual([
      'enc s1/1 DECRYPT_ONLY',
      'enc s2/2 ACTIVE',
      'sig s1/1 DECRYPT_ONLY',
      'sig s2/2 ACTIVE',
    ])
    // A rotation to suite 2 that stopped half-way: sealing goes on with the pair.
    const half = plan([key('enc', 1), key('sig', 1), key('enc', 2, 2)])
    expect(half?.suite).toBe(1)
    expect(states(half)).toEqual(['enc s1/1 ACTIVE', 'enc s2/2 DECRYPT_ONLY', 'sig s1/1 ACTIVE'])
  })

  it('leaves what has a record, and makes nothing active beside an active or after a destroyed version', () => {
    expect(states(plan([key('enc', 1), key('enc', 2)], [row('enc', 1, 'ACTIVE')]))).toEqual(['enc s1/2 DECRYPT_ONLY'])
    expect(states(plan([key('enc', 1)], [row('enc', 2, 'DESTROYED')]))).toEqual(['enc s1/1 DECRYPT_ONLY'])
    expect(states(plan([key('enc', 1), key('enc', 2)], [row('enc', 1, 'DECRYPT_ONLY')]))).toEqual(['enc s1/2 ACTIVE'])
  })

  it('reads from the newest header whether nonces are detached, which wants a KEK', () => {
    expect(plan([key('enc', 1)], [], sealed('detached'))?.nonceMode).toBe('inline')
    expect(plan([key('kek', 1)], [], sealed('detached', 22))).toMatchObject({ nonceMode: 'detached', segLog2: 22 })
    expect(plan([key('kek', 1)], [], sealed('inline'))?.nonceMode).toBe('inline')
    expect(plan([key('kek', 1)])?.nonceMode).toBe('detached')
  })

  it('keys init registers older versions of a lost database as what only opens', () => {
    const steps = planRole({ role: 'enc', domain: DOMAIN, suite: 1, rows: [], token: [key('enc', 1), key('enc', 2)] })
    expect(steps).toMatchObject([
      { kind: 'register', ref: { version: 1 }, state: 'DECRYPT_ONLY' },
      { kind: 'register', ref: { version: 2 }, state: 'PENDING' },
      { kind: 'activate', ref: { version: 2 } },
    ])
  })
})

function tokenOf({ env }: World): TokenOptions {
  return {
    module: env['SEALFLEET_PKCS11_MODULE'] ?? '',
    token: env['SEALFLEET_PKCS11_TOKEN'] ?? '',
    pin: { kind: 'value', value: Buffer.from(env['SEALFLEET_PKCS11_PIN'] ?? '') },
    env: { SOFTHSM2_CONF: env['SOFTHSM2_CONF'] ?? '' },
  }
}

/** A destruction's record as it lies in the store, signed under audit key 1. */
async function signedCopy(world: World, label: string, checkValue: Buffer): Promise<Buffer> {
  const destroyedAt = '2026-05-04T03:02:01.000Z'
  const body = { destroyedAt, key: { checkValue: checkValue.toString('hex'), label }, kind: 'destruction', v: 1 }
  const record = Buffer.from(JSON.stringify(body))
  const message = Buffer.concat([Buffer.from('SFV1/destroyed\0\0'), record])
  await using pool = await HsmPool.open({ tokens: [tokenOf(world)], agents: 1, sessions: 1 })
  const mac = await pool.hmac({ role: 'audit', domain: 'default', suite: 1, version: 1 }, message)
  return destructionCopy({ record, auditKeyVersion: 1, mac })
}

it('recover believes signed records of destroyed keys, and no others', async () => {
  await using world = await createWorld()
  const ok = async (...args: string[]) => {
    const ran = await world.inProcess(args)
    expect(ran.status, ran.stderr + ran.stdout.toString()).toBe(0)
  }
  await ok('keys', 'init', '--with-audit')
  await using attempts = await openAttempts(world)
  const gone = { fileId: randomUUID(), content: randomBytes(10), attemptNo: 1, keyVersion: 1 }
  const { key: lost } = await attempts.seal(gone)
  // Sealed again before the old version went; its old object is still there.
  const rekeyed = randomUUID()
  await attempts.seal({ ...gone, fileId: rekeyed })
  await ok('keys', 'rotate')
  await attempts.seal({ ...gone, fileId: rekeyed, attemptNo: 2, keyVersion: 2 })
  await attempts.seal({ ...gone, fileId: randomUUID(), keyVersion: 2 })

  const first = { role: 'enc', domain: 'default', suite: 1, version: 1 } as const
  const label = (version: number) => `sealfleet/default/enc/s1/${version}`
  await using admin = await openKeyAdmin(tokenOf(world))
  const checkValue = await admin.checkValue(first)
  await admin.destroy(first)
  await attempts.put(destructionStoreKey(label(1)), await signedCopy(world, label(1), checkValue))
  const forged = await signedCopy(world, label(2), checkValue)
  const other = JSON.parse(forged.toString()) as Record<string, unknown>
  const spoiled = Buffer.from(JSON.stringify({ ...other, mac: randomBytes(32).toString('base64') }))
  await attempts.put(destructionStoreKey(label(2)), spoiled)
  await attempts.put('sealfleet-audit/destructions/rubbish.json', Buffer.from('{'))

  await using database = await freshDatabase()
  const env = { SEALFLEET_DATABASE_URL: database.url }
  for (const dry of [['--dry-run'], []]) {
    const ran = await world.inProcess(['recover', '--json', ...dry], { env })
    expect(ran.status, ran.stdout.toString()).toBe(1)
    const lines = ran.stdout.toString().trim().split('\n')
    const { summary } = JSON.parse(lines.at(-1) ?? '') as {
      summary: {
        recovered: number
        unplacedTotal: number
        destroyedKeys: { label: string }[]
        unproven: { storeKey: string; code: string }[]
      }
    }
    expect(summary).toMatchObject({ recovered: 2, unplacedTotal: 1 })
    expect(summary.destroyedKeys.map((one) => one.label)).toEqual([label(1)])
    expect(summary.unproven.map(({ code }) => code)).toEqual(['DESTRUCTION_UNPROVEN', 'DESTRUCTION_UNPROVEN'])
    expect(ran.stdout.toString()).toContain(`"key":"${lost}"`)
    expect(ran.stdout.toString()).toContain('E_KEY_DESTROYED')
  }
  await using records = await openRecords(database.url)
  const rows = await listMasterKeys(records, { domain: 'default', role: 'enc' })
  expect(rows.map(({ version, state, destroyedAt }) => [version, state, destroyedAt?.toISOString()])).toEqual([
    [1, 'DESTROYED', '2026-05-04T03:02:01.000Z'],
    [2, 'ACTIVE', undefined],
  ])
  expect((await world.inProcess(['keys', 'check'], { env })).status).toBe(0)
}, 240_000)
