import { describe, expect, test } from 'vitest'
import { loadConfig, type Need } from '../src/load.js'
import { ConfigError } from '../src/problem.js'
import { databaseTransport, isLocal, opsTransport, redisTransport, s3Transport } from '../src/transport.js'

const S3 = {
  SEALFLEET_S3_BUCKET: 'sealed-files',
  SEALFLEET_S3_ACCESS_KEY_ID: 'AKIATEST',
  SEALFLEET_S3_SECRET_ACCESS_KEY: 's3pass',
}

function problemsOf(env: Record<string, string>, needs: readonly Need[]): readonly string[] {
  try {
    loadConfig(env, { needs })
    return []
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return error.problems.map(({ variable, fault }) => `${variable} ${fault}`)
  }
}

test.each([
  ['127.0.0.1', true],
  ['127.8.9.1', true],
  ['[::1]', true],
  ['[::ffff:7f00:1]', true],
  ['localhost', true],
  ['db.localhost', true],
  ['/run/postgresql', true],
  ['%2Frun%2Fpostgresql', true],
  ['0.0.0.0', false],
  ['10.0.0.1', false],
  ['[::]', false],
  ['[fd00::1]', false],
  ['127.0.0.1.example.com', false],
  ['localhost.example.com', false],
  ['notlocalhost', false],
  ['redis', false],
])('%s stays on this machine: %s', (host, local) => {
  expect(isLocal(host)).toBe(local)
})

describe('how a dependency is reached', () => {
  test.each([
    ['redis://127.0.0.1', 'local'],
    ['redis://redis.internal', 'plaintext'],
    ['rediss://redis.internal', 'tls'],
  ])('%s: %s', (url, transport) => {
    expect(redisTransport(url)).toBe(transport)
  })

  test.each([
    [undefined, 'tls'],
    ['https://s3.internal', 'tls'],
    ['http://s3.internal', 'plaintext'],
    ['http://[::1]:9000', 'local'],
  ])('S3 at %s: %s', (endpoint, transport) => {
    expect(s3Transport(endpoint)).toBe(transport)
  })

  test.each([
    ['postgresql://db/x', false, 'plaintext'],
    ['postgresql://db/x', true, 'tls'],
    ['postgresql://db/x?sslmode=disable', false, 'plaintext'],
    ['postgresql://db/x?sslmode=prefer', false, 'unverified'],
    ['postgresql://db/x?sslmode=no-verify', false, 'unverified'],
    ['postgresql://db/x?sslmode=require', false, 'tls'],
    ['postgresql://db/x?sslmode=require&uselibpqcompat=true', false, 'unverified'],
    ['postgresql://db/x?sslmode=verify-full&uselibpqcompat=true', false, 'tls'],
    ['postgresql://db/x?ssl=true', false, 'tls'],
    ['postgresql://localhost/x', false, 'local'],
    ['postgresql:///x?host=/run/postgresql', false, 'local'],
    ['postgresql://u@%2Frun%2Fpostgresql/x', false, 'local'],
    ['postgresql://localhost/x?host=db', false, 'plaintext'],
    ['postgresql://127.0.0.1,db/x?host=127.0.0.1,db', false, 'plaintext'],
  ])('%s with TLS settings %s: %s', (url, hasTls, transport) => {
    expect(databaseTransport(url, hasTls)).toBe(transport)
  })

  test('ops listens on this machine alone, or in plaintext', () => {
    expect([opsTransport('127.0.0.1'), opsTransport('::1'), opsTransport('0.0.0.0')]).toEqual([
      'local',
      'local',
      'plaintext',
    ])
  })
})

describe('plaintext beyond this machine is refused, with both mends', () => {
  const ENV = {
    ...S3,
    SEALFLEET_REDIS_URL: 'redis://redis.internal',
    SEALFLEET_DATABASE_URL: 'postgresql://u:p@db.internal/records?sslmode=no-verify',
    SEALFLEET_S3_ENDPOINT: 'http://s3.internal',
    SEALFLEET_OPS_HOST: '0.0.0.0',
  }
  const ALL: readonly Need[] = ['redis', 'database', 's3', 'ops']

  test('each dependency by itself, and how all of them together would be allowed', () => {
    const allow = 'or allow it by SEALFLEET_ALLOW_PLAINTEXT=redis,database,s3,ops'
    const problems = problemsOf(ENV, ALL)
    expect(problems).toEqual([
      expect.stringMatching(/^SEALFLEET_REDIS_URL leads beyond this machine without TLS: use a rediss: URL/),
      expect.stringMatching(/^SEALFLEET_DATABASE_URL .* whose certificate is not checked: add \?sslmode=verify-full/),
      expect.stringMatching(/^SEALFLEET_S3_ENDPOINT .* use an https: endpoint/),
      expect.stringMatching(/^SEALFLEET_OPS_HOST .* behind a proxy/),
    ])
    for (const problem of problems) expect(problem).toContain(allow)
  })

  test.each(ALL)('%s is reached when it is allowed', (need) => {
    expect(problemsOf({ ...ENV, SEALFLEET_ALLOW_PLAINTEXT: need }, [need])).toEqual([])
    expect(
      problemsOf({ ...ENV, SEALFLEET_ALLOW_PLAINTEXT: ALL.filter((one) => one !== need).join(', ') }, [need]),
    ).toHaveLength(1)
  })

  test('what is allowed already is kept in the advice', () => {
    expect(problemsOf({ ...ENV, SEALFLEET_ALLOW_PLAINTEXT: 's3' }, ['s3', 'redis'])).toEqual([
      expect.stringContaining('SEALFLEET_ALLOW_PLAINTEXT=s3,redis'),
    ])
  })

  test('a name that is none of them is a mistake', () => {
    expect(problemsOf({ ...ENV, SEALFLEET_ALLOW_PLAINTEXT: 'redis,kafka' }, ['redis'])).toEqual([
      'SEALFLEET_ALLOW_PLAINTEXT is wrong: "redis,kafka" holds "kafka"',
    ])
  })

  test('a worker whose status server does not listen may have any address for it', () => {
    expect(problemsOf(ENV, ['ops', 'worker'])).toEqual([])
    expect(problemsOf({ ...ENV, SEALFLEET_WORKER_PORT: '9464' }, ['ops', 'worker'])).toHaveLength(1)
  })
})
