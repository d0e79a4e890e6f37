import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import path from 'node:path'
import { REDIS_COMMANDS } from '@sealfleet/queue'
import { heartbeat } from '@sealfleet/records/upkeep'
import { openRecords } from '@sealfleet/records'
import { freshToken, redisUrl, tempDir } from '@sealfleet/testkit'
import { Redis } from 'ioredis'
import { createWorld, type World } from './support/world.js'

const CREDULOUS_STORE = path.resolve(import.meta.dirname, 'support/credulous-store.mjs')

interface Report {
  readonly healthy: boolean
  readonly findings: readonly {
    readonly check: string
    readonly state: string
    readonly detail?: string
    readonly code?: string
    readonly fix?: string
  }[]
}

let world: World
beforeAll(async () => {
  world = await createWorld({ store: 'radosgw' })
  await world.sealfleet(['keys', 'init'])
})
afterAll(() => world[Symbol.asyncDispose]())

const stateOf = ({ findings }: Report, check: string): string | undefined =>
  findings.find((one) => one.check.startsWith(check))?.state

describe('sealfleet doctor', () => {
  it('finds a healthy fleet healthy, but for the missing workers', async () => {
    const ran = await world.sealfleet(['doctor', '--json'])
    const report = ran.json<Report>()
    expect([ran.status, report.healthy]).toEqual([0, true])
    for (const check of [
      'settings',
      'database',
      'books',
      'redis',
      'clock',
      's3',
      'hsm',
      'key sealfleet/default/enc',
      'derivation',
      'root data',
    ]) {
      expect([check, stateOf(report, check)]).toEqual([check, 'ok'])
    }
    for (const check of ['queue', 'rights', 's3 signatures'])
      expect([check, stateOf(report, check)]).toEqual([check, 'ok'])
    expect(stateOf(report, 'workers')).toBe('warning')
  })

  it('compares the keys of a secondary token too, and warns of what it lacks', async () => {
    await using other = await freshToken()
    const secondary = `token=${other.label},pin-file=${other.pinFile},env.SOFTHSM2_CONF=${other.env.SOFTHSM2_CONF}`
    const ask = async (SEALFLEET_PKCS11_SECONDARIES: string) => {
      const ran = await world.sealfleet(['doctor', '--json'], { env: { SEALFLEET_PKCS11_SECONDARIES } })
      return [ran.status, ran.json<Report>().findings.find(({ check }) => check === 'hsm secondary-1')]
    }
    const lacks = expect.stringContaining('sealfleet/default/enc/s1/1: missing') as string
    expect(await ask(secondary)).toMatchObject([0, { state: 'warning', detail: lacks }])
    const away = expect.stringContaining('HSM_UNAVAILABLE') as string
    expect(await ask(secondary.replace(other.label, 'gone'))).toMatchObject([0, { state: 'warning', detail: away }])
  })

  it('counts workers by their heartbeats: maintenance is none, and one that waits says for what', async () => {
    await using records = await openRecords(world.databaseUrl)
    const one = { host: 'h', pid: 1, version: '', concurrency: 1, ttlSeconds: 60, state: 'READY' } as const
    const workers = async () =>
      (await world.inProcess(['doctor', '--json'])).json<Report>().findings.find(({ check }) => check === 'workers')
    await heartbeat(records, { ...one, id: 'keeper', detail: { program: 'maintenance' } })
    expect(await workers()).toMatchObject({ state: 'warning', detail: 'no worker is running' })
    await heartbeat(records, { ...one, id: 'well' })
    expect(await workers()).toMatchObject({ state: 'ok', detail: '1 of 1 take jobs' })
    await heartbeat(records, { ...one, id: 'waits', detail: { breakers: { s3: 'S3_NO_BUCKET' } } })
    expect(await workers()).toMatchObject({ state: 'warning', detail: '1 of 2 take jobs (s3: S3_NO_BUCKET)' })
  })

  it('names the commands that Redis does not let its user give, and what to add', async () => {
    const admin = new Redis(redisUrl())
    const user = `doctor-${randomUUID()}`
    const commands = REDIS_COMMANDS.filter((command) => command !== 'zadd' && command !== 'lrem')
    const prefix = world.env['SEALFLEET_QUEUE_PREFIX'] ?? ''
    const url = new URL(redisUrl())
    Object.assign(url, { username: user, password: 'pass' })
    const rights = [`~${prefix}:*`, 'resetchannels', '-@all', ...commands.map((command) => `+${command}`)]
    try {
      await admin.call('ACL', 'SETUSER', user, 'reset', 'on', '>pass', ...rights)
      const ran = await world.inProcess(['doctor', '--json'], { env: { SEALFLEET_REDIS_URL: url.href } })
      expect(ran.status).toBe(6)
      const queue = ran.json<Report>().findings.find(({ check }) => check === 'queue')
      expect(queue).toMatchObject({ state: 'failed', code: 'REDIS_ACCESS_DENIED' })
      expect(queue?.fix).toMatch(/\+zadd \+lrem$/)
    } finally {
      await admin.call('ACL', 'DELUSER', user)
      admin.disconnect()
    }
  })

  it('warns of a store that accepts any secret', async () => {
    await using data = await tempDir()
    const server = spawn(process.execPath, ['--openssl-legacy-provider', CREDULOUS_STORE, data.path])
    try {
      const [port] = (await once(server.stdout, 'data')) as [Buffer]
      const env = {
        SEALFLEET_S3_ENDPOINT: `http://127.0.0.1:${port.toString().trim()}`,
        SEALFLEET_S3_BUCKET: 'open',
        SEALFLEET_S3_ACCESS_KEY_ID: 'S3RVER',
        SEALFLEET_S3_SECRET_ACCESS_KEY: 'S3RVER',
      }
      const report = (await world.inProcess(['doctor', '--json'], { env })).json<Report>()
      expect([stateOf(report, 's3'), stateOf(report, 's3 signatures')]).toEqual(['ok', 'warning'])
    } finally {
      const closed = once(server, 'close')
      server.kill('SIGKILL')
      await closed
    }
  })

  it('prints a table and a fix for each fault; a dependency out of reach is status 6', async () => {
    const ran = await world.sealfleet(['doctor'], {
      env: {
        SEALFLEET_REDIS_URL: 'redis://:secret-pass@127.0.0.1:1',
        SEALFLEET_DATABASE_URL: 'postgresql://u:secret-pass@127.0.0.1:1/x',
        SEALFLEET_S3_SECRET_ACCESS_KEY: 'secret-pass',
        SEALFLEET_S3_MAX_ATTEMPTS: '1',
      },
    })
    const text = ran.stdout.toString()
    expect(ran.status).toBe(6)
    for (const code of ['REDIS_UNAVAILABLE', 'DB_UNAVAILABLE', 'S3_ACCESS_DENIED'])
      expect(text).toContain(`failed (${code})`)
    expect(text.match(/ {2}fix: /g)?.length).toBeGreaterThanOrEqual(3)
    expect(text + ran.stderr).not.toContain('secret-pass')
  })

  it('names wrong settings and goes on with the rest', async () => {
    const ran = await world.inProcess(['doctor', '--json'], {
      env: { SEALFLEET_ROOTS: 'nonsense', SEALFLEET_PKCS11_PIN: undefined },
    })
    const report = ran.json<Report>()
    expect(ran.status).toBe(2)
    expect([stateOf(report, 'settings: roots'), stateOf(report, 'settings: hsm'), stateOf(report, 's3')]).toEqual([
      'failed',
      'failed',
      'ok',
    ])
  })

  it('tells a wrong PIN after one try', async () => {
    const ran = await world.inProcess(['doctor', '--json'], { env: { SEALFLEET_PKCS11_PIN: '9876' } })
    const hsm = ran.json<Report>().findings.filter(({ check }) => /hsm|derivation|key/.test(check))
    expect(hsm).toEqual([expect.objectContaining({ check: 'hsm', state: 'failed', code: 'HSM_ACCESS_DENIED' })])
    // The token still takes the right one.
    expect((await world.inProcess(['keys', 'check'])).status).toBe(0)
  })
})
