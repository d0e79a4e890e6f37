import { execFileSync } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { loadConfig, type Need } from '../src/load.js'
import { ConfigError, type Problem } from '../src/problem.js'

const ALL: readonly Need[] = ['database', 'redis', 's3', 'hsm', 'roots', 'worker', 'ops']
const ENV = {
  SEALFLEET_DATABASE_URL: 'postgresql://sealfleet:dbpass@db.internal:5433/records?sslmode=require',
  SEALFLEET_REDIS_URL: 'rediss://:redispass@redis.internal/2',
  SEALFLEET_S3_ENDPOINT: 'https://s3.internal',
  SEALFLEET_S3_BUCKET: 'sealed-files',
  SEALFLEET_S3_ACCESS_KEY_ID: 'AKIATEST',
  SEALFLEET_S3_SECRET_ACCESS_KEY: 's3pass',
  SEALFLEET_PKCS11_MODULE: '/usr/lib/softhsm/libsofthsm2.so',
  SEALFLEET_PKCS11_TOKEN: 'fleet',
  SEALFLEET_PKCS11_PIN: '9876',
  SEALFLEET_ROOTS: 'inbox=/srv/inbox,archive=/srv/archive/',
}

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sealfleet-config-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

function write(name: string, content: string, mode = 0o600): string {
  const path = join(folder, name)
  writeFileSync(path, content, { mode })
  chmodSync(path, mode)
  return path
}

function problemsOf(env: Record<string, string | undefined>, needs = ALL, configFile?: string): readonly Problem[] {
  try {
    loadConfig(env, { needs, configFile })
  } catch (error) {
    if (error instanceof ConfigError) return error.problems
    throw error
  }
  return []
}

test('a complete environment gives typed sections and their defaults', () => {
  const config = loadConfig(ENV, { needs: ALL })
  expect(config.database).toMatchObject({
    address: 'db.internal:5433/records',
    poolSize: 10,
    statementTimeoutMs: 15_000,
  })
  expect(config.database.url.reveal()).toBe(ENV.SEALFLEET_DATABASE_URL)
  expect(config.redis).toMatchObject({ address: 'redis.internal:6379/2', prefix: '{sealfleet}' })
  expect(config.s3).toMatchObject({
    region: 'us-east-1',
    bucket: 'sealed-files',
    forcePathStyle: true,
    partSize: 7 * 2 ** 20,
  })
  expect(config.hsm).toMatchObject({ token: 'fleet', agents: 2, sessions: 8, pinId: 'default', pin: { kind: 'value' } })
  expect([...config.roots]).toEqual([
    ['inbox', '/srv/inbox'],
    ['archive', '/srv/archive'],
  ])
  expect(config.worker).toEqual({
    concurrency: 8,
    partsInFlight: 2,
    rekeyConcurrency: 1,
    bytesInFlight: 176 * 2 ** 20,
    leaseSeconds: 20,
    leaseRenewSeconds: 5,
    segLog2: 20,
    shutdownGraceSeconds: 25,
    watchdogSeconds: 600,
    healthPort: undefined,
  })
  expect(config.ops).toEqual({ host: '127.0.0.1', port: 3900, transport: 'local' })
  expect(config.log.level).toBe('info')
  expect(config.warnings).toEqual([])
})

test('no secret comes out when the whole configuration is printed', () => {
  const printed = JSON.stringify(loadConfig(ENV, { needs: ALL }))
  for (const value of ['dbpass', 'redispass', 's3pass', '9876']) expect(printed).not.toContain(value)
})

test('an empty environment names every required variable at once, with what it wants and an example', () => {
  const problems = problemsOf({})
  expect(problems.map(({ variable }) => variable)).toEqual([
    'SEALFLEET_DATABASE_URL',
    'SEALFLEET_REDIS_URL',
    'SEALFLEET_S3_BUCKET',
    'SEALFLEET_S3_ACCESS_KEY_ID',
    'SEALFLEET_S3_SECRET_ACCESS_KEY',
    'SEALFLEET_PKCS11_MODULE',
    'SEALFLEET_PKCS11_TOKEN',
    'SEALFLEET_PKCS11_PIN',
    'SEALFLEET_ROOTS',
  ])
  for (const problem of problems) expect(problem).toMatchObject({ fault: 'is not set', expects: /./, example: /./ })
})

test('variables of sections that are not needed are not looked at', () => {
  const config = loadConfig({ ...ENV, SEALFLEET_REDIS_URL: 'nonsense' }, { needs: ['hsm'] })
  expect(Object.keys(config).sort()).toEqual(['hsm', 'kernel', 'log', 'passthroughEnv', 'protection', 'warnings'])
})

test.each([
  ['SEALFLEET_DATABASE_URL', 'mysql://u:hidden@h/d', /does not begin with postgresql/],
  ['SEALFLEET_DATABASE_URL', 'postgresql://u:hidden@h', /names no database name/],
  ['SEALFLEET_REDIS_URL', 'localhost:6379', /does not begin with redis/],
  ['SEALFLEET_REDIS_URL', '', /empty/],
  ['SEALFLEET_REDIS_URL', 'REDISS://:hidden@localhost', /does not begin with redis/],
  ['SEALFLEET_REDIS_URL', 'redis://:hidden%zz@localhost', /a % in its user or password/],
  ['SEALFLEET_REDIS_URL', 'redis://:hidden%@localhost', /a % itself is written as %25/],
  ['SEALFLEET_REDIS_URL', 'redis://:hidden%FF@localhost', /a % in its user or password/],
  ['SEALFLEET_REDIS_URL', 'redis://localhost/queues', /not the number of a database/],
  ['SEALFLEET_REDIS_URL', 'redis://:hidden@localhost?tls=no', /has a query/],
  ['SEALFLEET_REDIS_URL', 'redis://:hid#den@localhost', /names no host|not a URL|has a #/],
  ['SEALFLEET_S3_ENDPOINT', 'https://s3.internal/a%zz', /a % in its path/],
  ['SEALFLEET_QUEUE_PREFIX', 'bull', /not of that form/],
  ['SEALFLEET_S3_ENDPOINT', 'https://key:hidden@s3', /credentials/],
  ['SEALFLEET_S3_BUCKET', 'Upper', /not a bucket name/],
  ['SEALFLEET_S3_PART_SIZE', '4MiB', /not between/],
  ['SEALFLEET_S3_PART_SIZE', '8MB', /not a size/],
  ['SEALFLEET_S3_FORCE_PATH_STYLE', 'yes', /neither true nor false/],
  ['SEALFLEET_PKCS11_MODULE', 'libsofthsm2.so', /not an absolute path/],
  ['SEALFLEET_PKCS11_TOKEN', 'x'.repeat(33), /longer than 32 bytes/],
  ['SEALFLEET_HSM_HARD_TIMEOUT_MS', '500', /not above SEALFLEET_HSM_SOFT_TIMEOUT_MS/],
  ['SEALFLEET_CONCURRENCY', '0', /not between 1 and 256/],
  ['SEALFLEET_CONCURRENCY', '1e1', /not a whole number/],
  ['SEALFLEET_CONCURRENCY', '', /set but empty/],
  ['SEALFLEET_LEASE_RENEW_SECONDS', '11', /more than half/],
  ['SEALFLEET_SEGMENT_LOG2', '15', /not between 16 and 24/],
  ['SEALFLEET_WATCHDOG_SECONDS', '4', /between 0 and 5/],
  ['SEALFLEET_OPS_PORT', '65536', /not between/],
  ['SEALFLEET_LOG_LEVEL', 'verbose', /not a log level/],
  ['SEALFLEET_ROOTS', 'inbox', /gives root "inbox" no path/],
  ['SEALFLEET_ROOTS', 'In_box=/a', /not 1 to 64 of a-z/],
  ['SEALFLEET_ROOTS', 'a=/x,a=/y', /"a" twice/],
  ['SEALFLEET_ROOTS', 'a=x', /not an absolute path/],
  ['SEALFLEET_ROOTS', 'a=/x/../y', /shortest form/],
  ['SEALFLEET_ROOTS', 'a=/x,', /without a name/],
])('%s=%s is named as the one problem', (variable, value, fault) => {
  const problems = problemsOf({ ...ENV, [variable]: value })
  expect(problems).toMatchObject([{ variable, fault, expects: /./, example: /./ }])
  expect(JSON.stringify(problems)).not.toContain('hidden')
})

test('unsigned payloads are refused over plain http', () => {
  const env = { ...ENV, SEALFLEET_S3_UNSIGNED_PAYLOAD: 'true', SEALFLEET_S3_ENDPOINT: 'http://127.0.0.1:9000' }
  expect(problemsOf(env)).toMatchObject([{ variable: 'SEALFLEET_S3_UNSIGNED_PAYLOAD' }])
})

describe('secrets in files', () => {
  test('NAME_FILE is read, without its line end', () => {
    const env = {
      ...ENV,
      SEALFLEET_S3_SECRET_ACCESS_KEY: undefined,
      SEALFLEET_S3_SECRET_ACCESS_KEY_FILE: write('s3', 'from-file\n'),
    }
    const config = loadConfig(env, { needs: ['s3'] })
    expect(config.s3.secretAccessKey.reveal()).toBe('from-file')
    expect(config.warnings).toEqual([])
  })

  test('both forms at once are a mistake', () => {
    const env = { ...ENV, SEALFLEET_REDIS_URL_FILE: write('redis', 'redis://h') }
    expect(problemsOf(env)).toMatchObject([
      { variable: 'SEALFLEET_REDIS_URL', fault: /so is SEALFLEET_REDIS_URL_FILE/ },
    ])
  })

  test.each([
    ['missing', () => join(folder, 'no-such'), /can't be read \(ENOENT\)/],
    ['empty', () => write('empty', '\n'), /is empty/],
    ['a folder', () => folder, /names a folder/],
    ['too long', () => write('long', 'x'.repeat(70_000)), /longer than/],
    ['of wrong content', () => write('wrong', 'mysql://u:hidden@h/d'), /whose content is wrong/],
  ])('a file that is %s is named', (_, path, fault) => {
    const problems = problemsOf({ ...ENV, SEALFLEET_DATABASE_URL: undefined, SEALFLEET_DATABASE_URL_FILE: path() })
    expect(problems).toMatchObject([{ variable: 'SEALFLEET_DATABASE_URL_FILE', fault }])
    expect(JSON.stringify(problems)).not.toContain('hidden')
  })

  test("the PIN's file stays a path and is never opened", () => {
    // Opening a FIFO that no one writes to would hang this test.
    const path = join(folder, 'pin')
    execFileSync('mkfifo', ['-m', '600', path])
    const env = { ...ENV, SEALFLEET_PKCS11_PIN: undefined, SEALFLEET_PKCS11_PIN_FILE: path }
    expect(loadConfig(env, { needs: ['hsm'] }).hsm.pin).toEqual({ kind: 'file', path })
    expect(problemsOf({ ...env, SEALFLEET_PKCS11_PIN_FILE: `${path}-gone` })).toMatchObject([
      { variable: 'SEALFLEET_PKCS11_PIN_FILE', fault: /can't be found \(ENOENT\)/ },
    ])
  })
})

describe('the configuration file', () => {
  test('gives what the environment does not; the environment wins, whichever form it uses', () => {
    const configFile = write(
      'env',
      `SEALFLEET_REDIS_URL=redis://from-file\nSEALFLEET_QUEUE_PREFIX={fromfile}\nSEALFLEET_DATABASE_URL=postgresql://file/d\n`,
    )
    const env = {
      SEALFLEET_ALLOW_PLAINTEXT: 'redis,database',
      SEALFLEET_REDIS_URL: 'redis://from-env',
      SEALFLEET_DATABASE_URL_FILE: write('db', 'postgresql://env/d'),
    }
    const config = loadConfig(env, { needs: ['redis', 'database'], configFile })
    expect(config.redis.address).toBe('from-env:6379')
    expect(config.redis.prefix).toBe('{fromfile}')
    expect(config.database.address).toBe('env:5432/d')
  })

  test('its names that are not ours are passed through, and the environment wins', () => {
    const configFile = write('env', 'SOFTHSM2_CONF=/a/softhsm2.conf\nVENDOR_HSM_CONF=/b\n')
    const config = loadConfig({ ...ENV, VENDOR_HSM_CONF: '/c', UNRELATED: 'x' }, { needs: ['hsm'], configFile })
    expect(config.passthroughEnv).toEqual({ SOFTHSM2_CONF: '/a/softhsm2.conf', VENDOR_HSM_CONF: '/c' })
  })

  test('unknown SEALFLEET_ names are reported with the nearest one', () => {
    const configFile = write('env', 'SEALFLEET_CONCURENCY=4\nSEALFLEET_ZZZZZZZZZZZ=1\n')
    const { warnings } = loadConfig({ ...ENV, SEALFLEET_TEST_REDIS_URL: 'x' }, { needs: ['worker'], configFile })
    expect(warnings).toEqual([
      'SEALFLEET_CONCURENCY is not a variable of Sealfleet; did you mean SEALFLEET_CONCURRENCY?',
      'SEALFLEET_ZZZZZZZZZZZ is not a variable of Sealfleet',
    ])
  })

  test('a required variable that is missing points at its misspelt twin', () => {
    expect(problemsOf({ SEALFLEET_REDSI_URL: 'redis://h' }, ['redis'])).toMatchObject([
      { variable: 'SEALFLEET_REDIS_URL', fault: /but SEALFLEET_REDSI_URL is/ },
    ])
  })

  test('a file that is not there, and a line that says nothing, are problems', () => {
    expect(problemsOf(ENV, ALL, join(folder, 'gone'))).toMatchObject([{ fault: /can't be read \(ENOENT\)/ }])
    expect(problemsOf(ENV, ALL, write('env', 'nonsense'))).toMatchObject([{ variable: /line 1/ }])
  })
})

test('the message of the error lists every problem, one a line', () => {
  const error = new ConfigError([
    { variable: 'SEALFLEET_A', fault: 'is not set', expects: 'a thing', example: 'x' },
    { variable: 'SEALFLEET_B', fault: 'is set but empty' },
  ])
  expect(error.message).toBe(
    'The configuration has 2 problems:\n  - SEALFLEET_A is not set. It wants a thing. Example: SEALFLEET_A=x\n  - SEALFLEET_B is set but empty.',
  )
})

describe('optional sections', () => {
  const needs: readonly Need[] = ['database']
  const { SEALFLEET_DATABASE_URL } = ENV

  test('are absent when nothing of them is set that they require', () => {
    const env = { SEALFLEET_DATABASE_URL, SEALFLEET_HSM_AGENTS: '3' }
    expect(loadConfig(env, { needs, optional: ['hsm'] }).hsm).toBeUndefined()
  })

  test('are typed and complete when they are given', () => {
    expect(loadConfig(ENV, { needs, optional: ['hsm'] }).hsm).toMatchObject({ token: 'fleet', agents: 2 })
  })

  test('a half of one is named, like any other mistake', () => {
    const env = { SEALFLEET_DATABASE_URL, SEALFLEET_PKCS11_TOKEN: 'fleet' }
    const load = () => loadConfig(env, { needs, optional: ['hsm'] })
    expect(load).toThrow(/SEALFLEET_PKCS11_MODULE is not set/)
    expect(load).toThrow(/SEALFLEET_PKCS11_PIN/)
  })
})
