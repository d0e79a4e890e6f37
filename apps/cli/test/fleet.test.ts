import { claimQueues, fleetKey } from '@sealfleet/queue'
import { claimBucket } from '@sealfleet/objects'
import { ensureDomain, getFleet } from '@sealfleet/records/fleet'
import { listAudit } from '@sealfleet/records/audit'
import { openRecords } from '@sealfleet/records'
import { openStore } from '@sealfleet/store'
import { freshDatabase, redisUrl, type FreshDatabase } from '@sealfleet/testkit'
import { Worker } from 'bullmq'
import { Redis } from 'ioredis'
import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createWorld, type World } from './support/world.js'

/** A second database with the settings of a first fleet: its queues, its bucket and its token are another's. */
let world: World
let second: FreshDatabase
let redis: Redis
let first: string
let own: string
let prefix: string

interface Failed {
  readonly error: { readonly code: string; readonly message: string; readonly fix?: string }
}

beforeAll(async () => {
  world = await createWorld()
  second = await freshDatabase()
  redis = new Redis(redisUrl())
  prefix = world.env['SEALFLEET_QUEUE_PREFIX'] ?? ''
  first = await idOf(world.databaseUrl)
  own = await idOf(second.url)
  await writeFile(path.join(world.data, 'a'), 'a file')
  {
    await using records = await openRecords(second.url)
    await ensureDomain(records, { id: 'default' })
  }
  expect((await world.inProcess(['keys', 'init', '--with-audit', '--no-wait'])).status).toBe(0)
})
beforeEach(async () => {
  await redis.set(fleetKey(prefix), first)
})
afterAll(async () => {
  redis?.disconnect()
  await second?.[Symbol.asyncDispose]()
  await world?.[Symbol.asyncDispose]()
})

async function idOf(url: string): Promise<string> {
  await using records = await openRecords(url)
  return (await getFleet(records)).id
}

const asSecond = (...args: string[]) =>
  world.inProcess([...args, '--json'], { env: { SEALFLEET_DATABASE_URL: second.url } })

describe('sealfleet, with the database of one fleet and the queues of another', () => {
  it.each([
    ['reconcile', ['maintenance', 'run', 'reconcile']],
    ['queue pause', ['queue', 'pause']],
    ['queue resume, dry', ['queue', 'resume', '--dry-run']],
  ])('%s is refused: status 1, and nothing is written', async (_, args) => {
    const ran = await asSecond(...args)
    expect(ran.json<Failed>().error.code).toBe('FLEET_MISMATCH')
    expect(ran.status).toBe(1)
    expect(await redis.hget(`${prefix}:ingest:meta`, 'paused')).toBeNull()
    expect(await redis.exists(`${prefix}:ingest:wait`)).toBe(0)
  })

  it('doctor fails and names both', async () => {
    const { findings } = (await asSecond('doctor')).json<{
      findings: { check: string; state: string; detail: string }[]
    }>()
    const { state, detail } = findings.find(({ check }) => check === 'fleet') ?? { state: '', detail: '' }
    expect(state).toBe('failed')
    expect(detail).toContain(first)
    expect(detail).toContain(own)
    const right = (await world.inProcess(['doctor', '--json'])).json<{ findings: { check: string; state: string }[] }>()
    expect(right.findings).toContainEqual(expect.objectContaining({ check: 'fleet', state: 'ok' }))
  })

  it('fleet show says whose they are: status 1', async () => {
    const ran = await asSecond('fleet', 'show')
    expect(ran.status).toBe(1)
    expect(ran.json()).toMatchObject({ id: own, queues: { owner: first }, bucket: { owner: null } })
    expect((await world.inProcess(['fleet', 'show'])).stdout.toString()).toContain(`this fleet's`)
  })
})

describe('keys on a token of another fleet', () => {
  it.each([
    ['keys init', ['keys', 'init', '--no-wait']],
    ['keys init, dry', ['keys', 'init', '--dry-run']],
    ['keys init --with-audit, of the audit key alone', ['keys', 'init', '--with-audit', '--dry-run']],
  ])('%s does not take them', async (_, args) => {
    const ran = await asSecond(...args)
    expect(ran.json<Failed>().error).toMatchObject({
      code: 'FLEET_MISMATCH',
      message: 'the token holds sealfleet/default/enc/s1/1, and this fleet did not make it',
    })
    expect(ran.status).toBe(1)
    expect((await asSecond('keys', 'list')).json()).toEqual({ keys: [] })
  })

  it('are taken when a person says so, for the records were lost', async () => {
    const ran = await asSecond('keys', 'init', '--with-audit', '--no-wait', '--adopt-keys')
    expect(ran.status, ran.stderr).toBe(0)
    const { keys } = (await asSecond('keys', 'list')).json<{ keys: { label: string; state: string }[] }>()
    expect(keys.map(({ label, state }) => `${label} ${state}`).toSorted()).toEqual([
      'sealfleet/audit/1 ACTIVE',
      'sealfleet/default/enc/s1/1 ACTIVE',
      'sealfleet/default/sig/s1/1 ACTIVE',
    ])
  })
})

describe('sealfleet fleet adopt', () => {
  const adopt = (...args: string[]) => asSecond('fleet', 'adopt', first, '--reason', 'its database is lost', ...args)

  it('is refused for another fleet than the one that is named, and while its workers are connected', async () => {
    const other = (await asSecond('fleet', 'adopt', randomUUID(), '--reason', 'x')).json<Failed>()
    expect(other.error.code).toBe('FLEET_MISMATCH')
    expect((await asSecond('fleet', 'adopt', 'nobody', '--reason', 'x')).status).toBe(2)
    const connection = new Redis(redisUrl(), { maxRetriesPerRequest: null })
    const worker = new Worker('ingest', () => Promise.resolve(), { connection, prefix })
    await worker.waitUntilReady()
    expect((await adopt()).json<Failed>().error.code).toBe('BAD_STATE')
    await worker.close()
    connection.disconnect()
    expect(await redis.get(fleetKey(prefix))).toBe(first)
  })

  it('takes over queues and bucket, with a row in the audit log; dry, it changes nothing', async () => {
    using store = await openStore({
      endpoint: world.env['SEALFLEET_S3_ENDPOINT'] ?? '',
      region: 'us-east-1',
      bucket: world.env['SEALFLEET_S3_BUCKET'] ?? '',
      accessKeyId: world.env['SEALFLEET_S3_ACCESS_KEY_ID'] ?? '',
      secretAccessKey: world.env['SEALFLEET_S3_SECRET_ACCESS_KEY'] ?? '',
    })
    await claimBucket(store, first)
    for (const args of [
      ['maintenance', 'run', 'sweep'],
      ['enqueue', 'a'],
    ])
      expect((await asSecond(...args)).json<Failed>().error.code, args[0]).toBe('FLEET_MISMATCH')
    expect((await adopt('--dry-run')).json()).toMatchObject({
      dryRun: true,
      took: [expect.any(String), expect.any(String)],
    })
    expect((await asSecond('fleet', 'show')).json()).toMatchObject({
      queues: { owner: first },
      bucket: { owner: first },
    })

    const ran = await adopt()
    expect(ran.status, ran.stderr).toBe(0)
    expect((await asSecond('fleet', 'show')).json()).toMatchObject({
      tookOver: [first],
      queues: { owner: own },
      bucket: { owner: own },
    })
    await claimQueues(redis, own, prefix)
    expect((await asSecond('maintenance', 'run', 'sweep')).status).toBe(0)
    expect((await asSecond('enqueue', 'a')).status).toBe(0)
    // Now the first one is the stranger.
    expect((await world.inProcess(['enqueue', 'a', '--json'])).json<Failed>().error.code).toBe('FLEET_MISMATCH')
    await using records = await openRecords(second.url)
    const rows = await listAudit(records, { subjectKind: 'fleet', subjectId: own })
    expect(rows).toMatchObject([{ action: 'fleet.adopt', detail: { from: first, reason: 'its database is lost' } }])
    await redis.set(fleetKey(prefix), own)
    expect((await adopt()).json()).toMatchObject({ took: [] })
  })
})
