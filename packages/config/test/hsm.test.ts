import { mkdtempSync, rmSync, writeFileSync, chmodSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { leastBudget, sessionsWithin } from '../src/concerns/hsm-budget.js'
import { hsmTokens } from '../src/hsm-tokens.js'
import { loadConfig } from '../src/load.js'
import { ConfigError, type Problem } from '../src/problem.js'

const ENV = {
  SEALFLEET_PKCS11_MODULE: '/usr/lib/vendor.so',
  SEALFLEET_PKCS11_TOKEN: 'fleet',
  SEALFLEET_PKCS11_PIN: '9876',
}

function problemsOf(env: Record<string, string>): readonly Problem[] {
  try {
    loadConfig({ ...ENV, ...env }, { needs: ['hsm'] })
  } catch (error) {
    if (error instanceof ConfigError) return error.problems
    throw error
  }
  return []
}

describe('secondary tokens', () => {
  let folder: string
  let pin: string
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'sealfleet-config-'))
    pin = join(folder, 'pin')
    writeFileSync(pin, '1234', { mode: 0o600 })
  })
  afterAll(() => rmSync(folder, { recursive: true }))

  const load = (list: string, env: Record<string, string> = {}) =>
    loadConfig({ ...ENV, ...env, SEALFLEET_PKCS11_SECONDARIES: list }, { needs: ['hsm'] })

  test('none is the default', () => {
    const config = loadConfig(ENV, { needs: ['hsm'] })
    expect(config.hsm.secondaries).toEqual([])
    expect(hsmTokens(config)).toHaveLength(1)
  })

  test('come in order, after the primary, with its module and environment where they name none', () => {
    const list = `token=second one,pin-file=${pin}; token=third,serial=ab12,module=/opt/other.so,pin-file=${pin},pin-id=p.3,env.VENDOR_CONF=/etc/v=3.conf ;`
    const config = load(list, { SOFTHSM2_CONF: '/a.conf', SEALFLEET_PKCS11_SERIAL: '00ff' })
    const [primary, ...others] = hsmTokens(config)
    const file = { kind: 'file', path: pin, sharedFolders: ['/run/secrets'] }
    expect(primary).toMatchObject({ token: 'fleet', serial: '00ff', pin: { kind: 'value' }, pinId: 'default' })
    expect(others).toEqual([
      {
        module: '/usr/lib/vendor.so',
        token: 'second one',
        pin: file,
        pinId: 'default',
        env: { SOFTHSM2_CONF: '/a.conf' },
      },
      {
        module: '/opt/other.so',
        token: 'third',
        serial: 'ab12',
        pin: file,
        pinId: 'p.3',
        env: { SOFTHSM2_CONF: '/a.conf', VENDOR_CONF: '/etc/v=3.conf' },
      },
    ])
  })

  test.each([
    ['', /is set but empty/],
    [';', /token 1: it gives no value/],
    ['token=a', /token 1: it has no pin-file=PATH/],
    ['pin-file=/p', /it has no token=LABEL/],
    ['token=a,pin-file=pin', /the path "pin", which is not an absolute path/],
    ['token=a,pin-file=/p,module=x.so', /gives module the path "x.so"/],
    ['token=a,pin-file=/p,pin=1234', /has a field "pin": it may have token, /],
    ['token=a,pin-file=/p,pin-id=a b', /has a pin-id that is not/],
    ['token=a,token=b,pin-file=/p', /gives token twice/],
    ['token=a,pin-file=/p,env.NODE_OPTIONS=x', /sets NODE_OPTIONS, which agents do not get/],
    [`token=${'x'.repeat(33)},pin-file=/p`, /names a token that is longer than 32 bytes/],
    ['token=a,pin-file=/no/such/pin', /gives a a pin-file that names \/no\/such\/pin, which can't be found/],
  ])('%j is refused', (list, fault) => {
    const problems = problemsOf({ SEALFLEET_PKCS11_SECONDARIES: list })
    expect(problems).toMatchObject([{ variable: 'SEALFLEET_PKCS11_SECONDARIES', fault }])
  })

  test('a PIN file that others can read is refused', () => {
    const open = join(folder, 'open')
    writeFileSync(open, '1234')
    chmodSync(open, 0o644)
    expect(problemsOf({ SEALFLEET_PKCS11_SECONDARIES: `token=a,pin-file=${open}` })).toMatchObject([
      { variable: 'SEALFLEET_PKCS11_SECONDARIES', fault: /can be read by others .*chmod 600/ },
    ])
  })

  test('the list can stand in a file of KEY=VALUE lines', () => {
    const configFile = join(folder, 'env')
    const line = `SEALFLEET_PKCS11_SECONDARIES="token=a,pin-file=${pin}; token=b,pin-file=${pin}"\n`
    writeFileSync(configFile, line, { mode: 0o600 })
    const { hsm } = loadConfig(ENV, { needs: ['hsm'], configFile })
    expect(hsm.secondaries.map(({ token }) => token)).toEqual(['a', 'b'])
  })
})

describe('the budget of sessions', () => {
  const sessions = (env: Record<string, string>) => loadConfig({ ...ENV, ...env }, { needs: ['hsm'] }).hsm.sessions

  test('is none by default: agents get what was asked for', () => {
    expect(sessions({})).toBe(8)
    expect(sessions({ SEALFLEET_HSM_SESSION_BUDGET: '0', SEALFLEET_HSM_WORKERS: '4' })).toBe(8)
  })

  test.each([
    // share of a worker: 16 = 2 agents × (6 sessions + anchor) + 2 to confirm an unknown key
    ['64', '4', '2', 6],
    ['63', '4', '2', 5],
    ['1000', '4', '2', 8],
    ['24', '4', '2', 1],
    ['16', '4', '1', 1],
  ])('%s for %s workers of %s agents gives each agent %i', (budget, workers, agents, expected) => {
    const env = { SEALFLEET_HSM_SESSION_BUDGET: budget, SEALFLEET_HSM_WORKERS: workers, SEALFLEET_HSM_AGENTS: agents }
    expect(sessions(env)).toBe(expected)
  })

  test('that is too small, or for no one knows how many workers, is refused', () => {
    expect(problemsOf({ SEALFLEET_HSM_SESSION_BUDGET: '23', SEALFLEET_HSM_WORKERS: '4' })).toMatchObject([
      { variable: 'SEALFLEET_HSM_SESSION_BUDGET', fault: /4 workers with 2 agents each need at least 24/ },
    ])
    expect(problemsOf({ SEALFLEET_HSM_SESSION_BUDGET: '64' })).toMatchObject([
      { variable: 'SEALFLEET_HSM_WORKERS', fault: /is not set, and SEALFLEET_HSM_SESSION_BUDGET is/ },
    ])
  })

  test('is never exceeded by the fleet, and never wasted by a whole session an agent', () => {
    const upTo = (max: number) => fc.integer({ min: 1, max })
    fc.assert(
      fc.property(upTo(5_000), upTo(50), upTo(8), upTo(256), (budget, workers, agents, wanted) => {
        const s = sessionsWithin(budget, workers, agents, wanted)
        const used = (each: number) => workers * (agents * (each + 1) + 2)
        expect(s >= 1).toBe(budget >= leastBudget(workers, agents))
        if (s < 1) return
        expect(used(s)).toBeLessThanOrEqual(budget)
        expect(s === wanted || used(s + 1) > budget).toBe(true)
      }),
    )
  })
})
