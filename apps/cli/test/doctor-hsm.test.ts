import { openKeyAdmin, type KeyAdmin, type MasterKeyRef } from '@sealfleet/hsm'
import { parseKeyLabel } from '@sealfleet/format'
import { clearPinLockout, setPinLockout } from '@sealfleet/records/keys'
import { openRecords } from '@sealfleet/records'
import { Faulty, freshToken, longTest } from '@sealfleet/testkit'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { createWorld, type World } from './support/world.js'

interface Report {
  readonly healthy: boolean
  readonly token?: {
    token: { serial: string; firmware: string }
    profile: string
    mechanismList: { name: string | null }[]
  }
  readonly pin?: { state: string } | null
  readonly pool?: {
    health: { breaker: string }
    stats: { logins: number }
    figures: {
      operations: { operation: string; calls: number; run: { totalMs: number; longestMs: number } }[]
      errors: unknown[]
      restarts: unknown
      logins: unknown
      checkValues: Record<string, Record<string, number>>
    }
  }
  readonly findings: readonly {
    readonly check: string
    readonly state: string
    readonly code?: string
    readonly detail: string
    readonly fix?: string
    readonly ms?: number
  }[]
}

const ENC = 'sealfleet/default/enc/s1/1'

/** The module between the command and SoftHSM counts calls, and fails on purpose where a test says so. */
let world: World
let faulty: Faulty<{ module: string; env: Record<string, string> }>
let env: Record<string, string>

beforeAll(async () => {
  world = await createWorld()
  // Every role, and both suites.
  const wrapped = ['domains', 'add', 'wrapped', '--suite', '2', '--nonces', 'detached', '--accept-loss-with-database']
  for (const args of [['keys', 'init', '--with-audit'], wrapped, ['keys', 'init', '--domain', 'wrapped']]) {
    expect((await world.sealfleet(args)).status).toBe(0)
  }
  faulty = await Faulty.over({ module: world.env['SEALFLEET_PKCS11_MODULE'] ?? '', env: {} })
  env = { ...faulty.token.env, SEALFLEET_PKCS11_MODULE: faulty.token.module }
})
afterEach(() => faulty.rules())
afterAll(async () => {
  await faulty?.[Symbol.asyncDispose]()
  await world?.[Symbol.asyncDispose]()
})

async function doctor(more: Record<string, string | undefined> = {}) {
  const before = await faulty.calls('C_Login')
  const ran = await world.spawned(['doctor', 'hsm', '--json'], { env: { ...env, ...more } })
  const report = ran.json<Report>()
  const of = (check: string) => report.findings.find((one) => one.check === check)
  return {
    ...ran,
    report,
    of,
    failed: report.findings.filter(({ state }) => state === 'failed'),
    logins: (await faulty.calls('C_Login')) - before,
  }
}

async function withAdmin(change: (admin: KeyAdmin) => Promise<unknown>): Promise<void> {
  const {
    SEALFLEET_PKCS11_MODULE: module = '',
    SEALFLEET_PKCS11_TOKEN: token = '',
    SEALFLEET_PKCS11_PIN: pin = '',
  } = world.env
  const softhsm = { SOFTHSM2_CONF: world.env['SOFTHSM2_CONF'] ?? '' }
  await using admin = await openKeyAdmin({
    module,
    token,
    pin: { kind: 'value', value: Buffer.from(pin) },
    env: softhsm,
  })
  await change(admin)
}

function refOf(label: string): MasterKeyRef {
  const ref = parseKeyLabel(label)
  if (ref === null) throw new TypeError(label)
  return ref
}

describe('sealfleet doctor hsm', () => {
  it('is named by the help of doctor, and has a help of its own', async () => {
    expect((await world.inProcess(['doctor', '--help'])).stdout.toString()).toMatch(/^ {2}hsm .*examine the token/m)
    const { status, stdout } = await world.inProcess(['doctor', 'hsm', '--help'])
    expect([status, stdout.toString()]).toEqual([0, expect.stringContaining('Exit status: 0 all is well')])
  })

  it('finds all well: shows the token, compares and uses every key, says how long it took', async () => {
    const { status, report, of, failed, logins } = await doctor()
    expect([status, report.healthy, failed]).toEqual([0, true, []])
    expect(report.token).toMatchObject({
      profile: 'softhsm',
      token: { firmware: expect.stringMatching(/^\d/) as string },
    })
    expect(report.token?.mechanismList.map(({ name }) => name)).toContain('CKM_SHA256_HMAC')
    for (const check of ['records', 'module', 'token', 'firmware', 'mechanisms', 'limits', 'PIN lockout']) {
      expect([check, of(check)?.state]).toEqual([check, 'ok'])
    }
    expect(of('mechanisms')?.detail).toContain('HMAC-SHA-256 yes')
    expect(of(`key ${ENC}`)?.detail).toBe('ACTIVE, check value right')
    const used = report.findings.filter(({ check }) => check.startsWith('use '))
    const roles = used.map(({ check }) => refOf(check.slice('use '.length)).role)
    expect(new Set(roles)).toEqual(new Set(['enc', 'sig', 'kek', 'audit']))
    for (const one of [...used, of('login'), of('sessions')]) expect(one?.ms).toBeGreaterThan(0)
    // One for the look around, one for the pool.
    expect([logins, report.pool?.stats.logins, report.pin?.state]).toEqual([2, 1, 'proven'])
  })

  it('prints the same as a table for a person', async () => {
    const { status, stdout } = await world.spawned(['doctor', 'hsm'], { env })
    expect([status, stdout.toString()]).toEqual([0, expect.stringMatching(/^CHECK +STATE +MS +WHAT$/m)])
    expect(stdout.toString()).toMatch(new RegExp(`^use ${ENC} +ok +[\\d.]+ +derives; result wiped$`, 'm'))
    for (const figure of [
      /^hmac enc +2 calls: [\d.]+ ms, longest [\d.]+; waited [\d.]+ ms, longest [\d.]+$/m,
      /^sessions +idle [1-9]\d*, leased 0, hung 0, broken 0$/m,
      /^waiters +0$/m,
      /^errors +none$/m,
      /^hung +0, slow 0$/m,
      /^restarts +none$/m,
      /^logins +accepted 1, refused 0$/m,
      /^breaker +closed$/m,
      /^probe age +\d+ ms$/m,
      /^check values primary +ok \d+$/m,
    ]) {
      expect(stdout.toString()).toMatch(figure)
    }
  })

  it('shows the figures that a worker has as metrics: one derivation a key, its errors by code and class, its restarts', async () => {
    await faulty.rules('C_EncryptInit return 0x30 count=1')
    const { report } = await doctor()
    const figures = report.pool?.figures
    const keys = report.findings.filter(({ check }) => check.startsWith('use ')).map(({ check }) => check)
    const signing = keys.filter((check) => refOf(check.slice('use '.length)).role !== 'kek').length
    const used = figures?.operations.filter(({ operation }) => operation === 'hmac') ?? []
    expect(used.reduce((sum, { calls }) => sum + calls, 0)).toBe(signing)
    for (const { run, calls } of used) {
      expect(run.longestMs).toBeGreaterThan(0)
      expect(run.totalMs).toBeLessThanOrEqual(run.longestMs * calls)
    }
    expect(figures?.errors).toContainEqual({ code: 'CKR_DEVICE_ERROR (0x30)', class: 'recycle', count: 1 })
    expect(figures?.restarts).toEqual({ error: 1 })
    expect(figures?.logins).toEqual({ accepted: 2, refused: 0 })
    expect(figures?.checkValues).toEqual({ primary: { ok: keys.length } })
  })

  longTest('compares the keys of a secondary token too, and says what it lacks', async () => {
    await using other = await freshToken()
    const { status, report, of } = await doctor({
      SEALFLEET_PKCS11_SECONDARIES: `token=${other.label},pin-file=${other.pinFile},env.SOFTHSM2_CONF=${other.env.SOFTHSM2_CONF}`,
    })
    const { primary, 'secondary-1': secondary } = report.pool?.figures.checkValues ?? {}
    expect(secondary).toEqual({ unknown: primary?.['ok'] })
    // It is no outage.
    const warned = { state: 'warning', fix: expect.stringContaining('copy the missing keys') as string }
    expect([status, of('token secondary-1')]).toMatchObject([0, warned])
  })

  longTest('fails when the token gives fewer sessions than are configured', async () => {
    await faulty.rules('C_OpenSession return 0xb1 skip=3')
    const { status, of } = await doctor()
    expect([status, of('sessions')]).toEqual([
      6,
      expect.objectContaining({ state: 'failed', fix: expect.stringContaining('SEALFLEET_HSM_SESSIONS') as string }),
    ])
  })

  longTest('says which key fails when it is used, and what to do', async () => {
    await faulty.rules('C_SignInit return 0x68 skip=6')
    const { status, failed } = await doctor()
    expect(status).not.toBe(0)
    expect(failed.length).toBeGreaterThan(0)
    for (const one of failed) expect(one.fix).toBeTruthy()
  })

  longTest('tries a wrong PIN once: the table says so, and nothing more is asked of the token', async () => {
    const { status, report, failed, logins } = await doctor({ SEALFLEET_PKCS11_PIN: '98765432' })
    expect([status, logins]).toEqual([6, 1])
    expect(failed).toMatchObject([
      { check: 'login', code: 'HSM_ACCESS_DENIED', fix: expect.stringContaining('PIN') as string },
    ])
    expect(report.token).toBeUndefined()
    // It locked no one out.
    expect((await doctor()).status).toBe(0)
  })

  longTest('does not try a PIN that the fleet has locked out', async () => {
    const { report } = await doctor()
    const name = { tokenSerial: report.token?.token.serial ?? '', pinId: 'default' }
    await using records = await openRecords(world.databaseUrl)
    await setPinLockout(records, { ...name, state: 'rejected', setBy: 'worker-1', ckr: 0xa0 })
    const lockedOut = await doctor()
    await clearPinLockout(records, name)
    expect([lockedOut.status, lockedOut.logins, lockedOut.report.pin?.state]).toEqual([6, 0, 'rejected'])
    expect(lockedOut.of('PIN lockout')?.fix).toContain(`sealfleet doctor pin reset ${name.tokenSerial} default`)
  })

  it('ends with status 6 when the token is not there, or the database', async () => {
    const absent = await doctor({ SEALFLEET_PKCS11_TOKEN: 'nobody' })
    expect([absent.status, absent.logins]).toEqual([6, 0])
    expect(absent.failed).toMatchObject([
      { check: 'login', code: 'HSM_UNAVAILABLE', fix: expect.stringContaining('SEALFLEET_PKCS11_TOKEN') as string },
    ])
    const blind = await doctor({ SEALFLEET_DATABASE_URL: 'postgresql://u:secret-pass@127.0.0.1:1/x' })
    expect([blind.status, blind.of('keys')?.state, blind.of('token')?.state]).toEqual([6, 'skipped', 'ok'])
  })

  longTest('a wrong key under the right label: KEY_MISMATCH, status 5, and it is not used', async () => {
    await withAdmin(async (admin) => {
      await admin.destroy(refOf(ENC))
      await admin.generate(refOf(ENC))
    })
    const { status, failed, of } = await doctor()
    expect(status).toBe(5)
    expect(failed).toMatchObject([{ check: `key ${ENC}`, code: 'KEY_MISMATCH', fix: expect.any(String) as string }])
    expect(of(`use ${ENC}`)).toBeUndefined()
    expect(of(`use ${ENC.replace('enc', 'sig')}`)?.state).toBe('ok')
  })

  longTest('a missing key: E_KEY_UNKNOWN, status 5', async () => {
    await withAdmin((admin) => admin.destroy(refOf(ENC)))
    const { status, failed } = await doctor()
    expect([status, failed]).toMatchObject([5, [{ check: `key ${ENC}`, code: 'E_KEY_UNKNOWN' }]])
    expect(failed[0]?.fix).toContain('SEALFLEET_PKCS11_TOKEN')
  })
})
