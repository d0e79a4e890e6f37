import { testAuthority } from '@sealfleet/testkit'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { tlsOptions } from '../src/concerns/tls.js'
import { loadConfig } from '../src/load.js'
import { ConfigError } from '../src/problem.js'

let folder: string
let paths: { readonly ca: string; readonly cert: string; readonly key: string; readonly otherKey: string }
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'sealfleet-tls-'))
  const authority = testAuthority()
  const [mine, other] = [authority.issue(['DNS:client']), authority.issue(['DNS:other'])]
  paths = {
    ca: write('ca', authority.ca),
    cert: write('cert', mine.cert),
    key: write('key', mine.key),
    otherKey: write('other', other.key),
  }
})
afterAll(() => rmSync(folder, { recursive: true }))

function write(name: string, content: string, mode = 0o600): string {
  const path = join(folder, name)
  writeFileSync(path, content)
  chmodSync(path, mode)
  return path
}

const load = (env: Record<string, string>) =>
  loadConfig({ SEALFLEET_REDIS_URL: 'rediss://redis.internal', ...env }, { needs: ['redis'] }).redis

function problemOf(env: Record<string, string>): string {
  try {
    load(env)
    return 'none'
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return error.problems.map(({ variable, fault }) => `${variable} ${fault}`).join('\n')
  }
}

test('the files of TLS become what Node’s tls takes; the key does not print', () => {
  const redis = load({
    SEALFLEET_REDIS_TLS_CA_FILE: paths.ca,
    SEALFLEET_REDIS_TLS_CERT_FILE: paths.cert,
    SEALFLEET_REDIS_TLS_KEY_FILE: paths.key,
    SEALFLEET_REDIS_TLS_SERVER_NAME: 'redis.example',
  })
  const options = tlsOptions(redis.tls)
  expect(Object.keys(options ?? {})).toEqual(['ca', 'cert', 'key', 'servername'])
  expect(options?.servername).toBe('redis.example')
  expect(options?.key).toContain('PRIVATE KEY')
  expect(JSON.stringify(redis)).not.toContain('PRIVATE KEY')
})

test('nothing set is undefined: Node’s own authorities, no client certificate', () => {
  expect(tlsOptions(load({}).tls)).toBeUndefined()
})

describe('a mistake is told at the start, not at the first connection', () => {
  test.each([
    ['CA', () => write('empty-ca', 'no PEM'), /holds no PEM certificate/],
    ['CA', () => write('broken-ca', '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'), /number 1/],
    ['CA', () => join(folder, 'gone'), /can't be read \(ENOENT\)/],
    ['CA', () => write('open-ca', 'x', 0o666), /can be written by others/],
    ['CERT', () => paths.cert, /REDIS_TLS_KEY_FILE is not set, and SEALFLEET_REDIS_TLS_CERT_FILE is/],
    ['KEY', () => paths.key, /REDIS_TLS_CERT_FILE is not set, and SEALFLEET_REDIS_TLS_KEY_FILE is/],
    ['KEY', () => write('open-key', 'x', 0o644), /can be read by others/],
    ['KEY', () => paths.cert, /holds no PEM private key/],
  ])('%s_FILE: %s', (which, path, fault) => {
    expect(problemOf({ [`SEALFLEET_REDIS_TLS_${which}_FILE`]: path() })).toMatch(fault)
  })

  test('a key of another certificate', () => {
    const env = { SEALFLEET_REDIS_TLS_CERT_FILE: paths.cert, SEALFLEET_REDIS_TLS_KEY_FILE: paths.otherKey }
    expect(problemOf(env)).toMatch(/TLS_KEY_FILE is wrong: it is not the key of the first certificate/)
  })

  test('a server name that is none', () => {
    expect(problemOf({ SEALFLEET_REDIS_TLS_SERVER_NAME: 'a b' })).toMatch(/is not a host name/)
  })

  test('settings that an address without TLS would pass over', () => {
    const tls = { SEALFLEET_REDIS_TLS_CA_FILE: paths.ca, SEALFLEET_REDIS_URL: 'redis://127.0.0.1' }
    expect(problemOf(tls)).toBe(
      'SEALFLEET_REDIS_TLS_CA_FILE is set, but SEALFLEET_REDIS_URL is a redis: URL, without TLS',
    )
    const s3 = {
      SEALFLEET_S3_BUCKET: 'sealed',
      SEALFLEET_S3_ACCESS_KEY_ID: 'a',
      SEALFLEET_S3_SECRET_ACCESS_KEY: 'b',
      SEALFLEET_S3_ENDPOINT: 'http://127.0.0.1',
      SEALFLEET_S3_TLS_CA_FILE: paths.ca,
    }
    expect(() => loadConfig(s3, { needs: ['s3'] })).toThrow(/SEALFLEET_S3_ENDPOINT is an http: address/)
    const database = {
      SEALFLEET_DATABASE_URL: 'postgresql://u@127.0.0.1/x?sslmode=disable',
      SEALFLEET_DATABASE_TLS_CA_FILE: paths.ca,
    }
    expect(() => loadConfig(database, { needs: ['database'] })).toThrow(/SEALFLEET_DATABASE_URL has sslmode=disable/)
  })
})
