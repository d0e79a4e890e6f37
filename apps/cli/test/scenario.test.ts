import path from 'node:path'
import { migrate } from '@sealfleet/records'
import { longTest } from '@sealfleet/testkit'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Pieces } from './support/fragments.js'
import { Life, until } from './support/life.js'
import { enrol, type Officers, type Person } from './support/officers.js'
import { loot, secretsOf } from './support/thief.js'
import { createWorld } from './support/world.js'

/**
 * The life of master keys from the first to the last day, by the commands that people use, on a fleet of two workers and a
 * maintenance process: each test is a chapter and stands on those before it.
 */
const WAVES = 4
/** Files a wave and domain: `npm run test:full` has 200 in all. */
const FILES = process.env['SEALFLEET_TEST_FULL'] === '1' ? 25 : 3
/** Nothing, more than a segment and less than one come first. */
const SIZES = Array.from({ length: FILES }, (_, n) => [0, 2 ** 20 + 1, 4_096, 2 ** 20, 1][n] ?? 10_000 + n)
const DOMAINS = ['default', 'vault'] as const
const PEOPLE: readonly Person[] = [
  { name: 'vera', role: 'auditor' },
  { name: 'ada', role: 'officer' },
  { name: 'grace', role: 'officer' },
]

let life: Life
let officers: Officers

beforeAll(async () => {
  life = new Life(await createWorld({ store: 'radosgw' }))
})
afterAll(() => life?.[Symbol.asyncDispose]())

async function wave(number: number): Promise<void> {
  for (const domain of DOMAINS) await life.enqueue(domain, `wave-${number}`, SIZES)
}

const all = WAVES * SIZES.length
const anchor = () => path.join(life.world.dir, 'anchor.json')

describe('the life of master keys', { timeout: 600_000 }, () => {
  test('the first keys: two officers, two domains, an audit key', async () => {
    officers = await enrol(life.world, PEOPLE)
    await life.sealfleet('keys', 'init', '--with-audit')
    await life.sealfleet('domains', 'add', 'vault', '--nonces', 'detached', '--accept-loss-with-database')
    await life.sealfleet('keys', 'init', '--domain', 'vault')
    await life.startFleet()
  })

  test(`${2 * WAVES * FILES} files in two domains, keys rotated twice under load: three versions, every file opens`, async () => {
    await wave(1)
    // The first rotation meets the first wave under way, the second one the next two.
    const second = wave(2)
    for (const domain of DOMAINS) await life.sealfleet('keys', 'rotate', '--domain', domain)
    await second
    await wave(3)
    for (const domain of DOMAINS) {
      await until(
        async () => [...(await life.versionsOf(domain)).values()].includes(2),
        () => `nothing of ${domain} is sealed under version 2`,
      )
      await life.sealfleet('keys', 'rotate', '--domain', domain)
    }
    await wave(WAVES)
    await life.settled()
    for (const domain of DOMAINS) {
      const versions = await life.versionsOf(domain)
      expect(versions.size).toBe(all)
      expect(new Set(versions.values())).toEqual(new Set([1, 2, 3]))
      expect(await life.census(domain)).toEqual({ identical: all })
    }
  })

  test('a thief of Postgres, Redis and the bucket holds no eight bytes of any derived key or detached nonce', async () => {
    const secrets = await secretsOf(life.world.env)
    // K_sig and IV with AES key of every attempt; two nonces more where they are detached.
    expect(secrets.length).toBeGreaterThanOrEqual(2 * 2 * all + 2 * all)
    const pieces = new Pieces(secrets)
    const stolen = await loot(life.world.env)
    expect(stolen.has('postgres')).toBe(true)
    expect([...stolen.keys()].filter((place) => place.startsWith('object ')).length).toBeGreaterThanOrEqual(2 * all)
    const found = [...stolen].flatMap(([place, bytes]) => pieces.findIn(place, bytes))
    expect(found).toEqual([])
    // And the search would have found one: a key that is put beside the rest, as text inside text.
    const planted = Buffer.from(`{"note":"${Buffer.from(secrets.at(-1)?.bytes ?? []).toString('base64')}"}`)
    expect(pieces.findIn('planted', planted)).toHaveLength(1)
  })

  // The rest of the story is proved in parts: worker: rekey; cli: rewrap, audit, recover, fleet, keys-destroy.
  longTest('version 1 of the default domain is left by re-encryption, while its files are read', async () => {
    const before = await life.versionsOf('default')
    const leaving = [...before].filter(([, version]) => version === 1).map(([id]) => id)
    const rekey = life.sealfleet('rekey', '--domain', 'default', '--from', '1', '--wait', '--json')
    expect(await life.census('default')).toEqual({ identical: all })
    await rekey
    const after = await life.versionsOf('default')
    expect(leaving.map((id) => after.get(id))).toEqual(leaving.map(() => 3))
    expect(await life.census('default')).toEqual({ identical: all })
  })

  longTest('nonces are wrapped again: only the database changes, every file opens', async () => {
    const before = await life.objects()
    await life.sealfleet('keys', 'rotate', '--role', 'kek', '--domain', 'vault')
    await life.sealfleet('rewrap', '--domain', 'vault')
    const wraps = await life.query<{ version: number }>(
      `SELECT DISTINCT k.version FROM attempts a JOIN master_keys k ON k.id = a.kek_key_id WHERE a.wrapped_nonces IS NOT NULL`,
    )
    expect(wraps).toEqual([{ version: 2 }])
    expect([...(await life.objects())].filter(([key]) => !key.startsWith('default/'))).toEqual(
      [...before].filter(([key]) => !key.startsWith('default/')),
    )
    expect(await life.census('vault')).toEqual({ identical: all })
  })

  longTest('the audit log proves what happened, each deed of this life in it', async () => {
    // What the auditor keeps elsewhere: the last checkpoint, made now.
    await life.eventually('maintenance', 'run', 'audit-checkpoint')
    await life.eventually('audit', 'verify', '--anchor', anchor())
    const log = (await life.sealfleet('audit', 'log', '--limit', '100000', '--json')).stdout.toString()
    for (const action of [
      'keys.generate',
      'keys.activate',
      'operators.add',
      'rekey.start',
      'file.commit',
      'file.rekey',
    ])
      expect(log, action).toContain(`"${action}"`)
  })

  longTest('the database is lost: inline files come back from S3 and the HSM, detached ones do not', async () => {
    await life.stopFleet()
    await life.query('DROP SCHEMA public CASCADE')
    await life.query('CREATE SCHEMA public')
    await migrate(life.world.databaseUrl)
    const ran = await life.world.sealfleet(['recover', '--json'])
    // The vault's objects cannot be placed, and it says so.
    expect(ran.status).toBe(1)
    expect(ran.stdout.toString()).toContain('E_NONCES_ABSENT')
    expect(await life.census('default')).toEqual({ identical: all })
    expect((await life.versionsOf('default')).size).toBe(all)
    expect(new Set((await life.versionsOf('default')).values())).toEqual(new Set([2, 3]))
    expect((await life.versionsOf('vault')).size).toBe(0)
  })

  longTest('the new database takes over the queues and the bucket of the lost one', async () => {
    const shown = (await life.world.sealfleet(['fleet', 'show', '--json'])).json<{ bucket: { owner: string } }>()
    expect(await life.refused('maintenance', 'run', 'audit-checkpoint')).toMatchObject({ code: 'FLEET_MISMATCH' })
    await life.sealfleet('fleet', 'adopt', shown.bucket.owner, '--reason', 'the database was lost')
  })

  longTest('the audit log says that it was rolled back, until an officer and an auditor adopt it', async () => {
    officers = await enrol(life.world, PEOPLE)
    expect(await life.refused('audit', 'verify', '--anchor', anchor())).toMatchObject({ status: 3 })
    const adopt = ['audit', 'adopt', '--reason', 'the database was lost']
    const request = (await life.sealfleet(...adopt, '--json')).json<{ request: { id: string } }>().request.id
    await officers.sign(request, ['ada', 'vera'])
    await life.sealfleet(...adopt, '--request', request)
    await life.startFleet()
    await life.eventually('audit', 'verify')
  })

  longTest('version 1, which nothing needs any more, is destroyed: by two officers, with proof', async () => {
    for (const role of ['enc', 'sig']) await destroy(role, 1)
    await life.sealfleet('keys', 'destructions', '--verify')
    expect(await life.census('default')).toEqual({ identical: all })
  })

  longTest('version 2 is still needed; given up all the same, its files are gone for good, and no others', async () => {
    const doomed = [...(await life.versionsOf('default'))].filter(([, version]) => version === 2).map(([id]) => id)
    const key = [...destroyCommand('enc', 2), ...TERMS]
    expect(await life.refused(...key)).toEqual({ status: 1, code: 'STILL_REFERENCED' })
    expect(await life.refused(...key, '--shred', '--confirm', 'destroy 1 files of default')).toMatchObject({
      status: 2,
    })
    expect(await life.refused(...destroyCommand('enc', 3), ...TERMS)).toMatchObject({ code: 'BAD_STATE' })
    await destroy('enc', 2, ['--shred', '--confirm', `destroy ${doomed.length} files of default`])
    expect(await life.census('default')).toEqual({ identical: all - doomed.length, E_KEY_DESTROYED: doomed.length })
    expect(await life.refused('restore', doomed[0] ?? '', '-o', path.join(life.world.dir, 'gone'))).toEqual({
      status: 5,
      code: 'E_KEY_DESTROYED',
    })
    expect(await life.refused('rekey', '--domain', 'default', '--from', '2')).toMatchObject({ status: 5 })
    // The signing master lives: an auditor still sees that every byte is what was sealed.
    await life.sealfleet('verify', '--all')
    await life.sealfleet('keys', 'destructions', '--verify')
    await life.eventually('audit', 'verify')
  })
})

const TERMS = ['--reason', 'end of retention', '--backups', 'none', '--wait-days', '0.00002']
const destroyCommand = (role: string, version: number) => [
  'keys',
  'destroy',
  '--role',
  role,
  '--version',
  String(version),
]

/** From the request to the end, which maintenance brings. */
async function destroy(role: string, version: number, more: readonly string[] = []): Promise<void> {
  const key = destroyCommand(role, version)
  const { request } = (await life.eventually(...key, ...TERMS, ...more, '--json')).json<{ request: { id: string } }>()
  const use = [...key, '--request', request.id]
  expect(await life.refused(...use)).toMatchObject({ code: 'REQUEST_UNSIGNED' })
  expect(await officers.signAs('ada', request.id)).toEqual({ status: 0 })
  expect(await officers.signAs('ada', request.id)).toMatchObject({ code: 'OPERATOR_TWICE' })
  expect(await officers.signAs('vera', request.id)).toMatchObject({ code: 'OPERATOR_ROLE' })
  expect(await life.refused(...use)).toMatchObject({ code: 'REQUEST_UNSIGNED' })
  expect(await officers.signAs('grace', request.id)).toEqual({ status: 0 })
  await life.sealfleet(...use)
  const listed = async () => (await life.sealfleet('keys', 'destructions')).stdout.toString()
  let last = ''
  await until(
    async () => {
      last = await listed()
      return (await life.keyState(role, version)) === 'DESTROYED'
    },
    () => last,
  )
}
