import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createWorld, type World } from './support/world.js'

interface Report {
  readonly healthy: boolean
  readonly findings: readonly {
    readonly check: string
    readonly state: string
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
    expect(stateOf(report, 'workers')).toBe('warning')
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
