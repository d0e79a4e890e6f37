import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { tempDir, type TempDir } from '@sealfleet/testkit'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parseDatabaseUrl } from '../src/db/database-url.js'

const BASE = { host: 'h', port: 5432, user: 'u', database: 'd', ssl: false, schema: 'public', pooled: false }

test.each<[string, Record<string, unknown>]>([
  ['postgres://u@h/d', {}],
  ['postgresql://u:p@h:6543/d', { port: 6543, password: 'p' }],
  ['postgres://u:p%40%3A%2Fs@h/d', { password: 'p@:/s' }],
  ['postgres://u:p@q@h/d', { password: 'p@q' }],
  ['postgres://u%20v@h/my%20data%2Fbase', { user: 'u v', database: 'my data/base' }],
  ['postgres://u@[::1]:6543/d', { host: '::1', port: 6543 }],
  ['postgresql://u@/d?host=/var/run/postgresql', { host: '/var/run/postgresql' }],
  ['postgresql:///d?host=/var/run/postgresql&user=u', { host: '/var/run/postgresql' }],
  ['postgresql://u@%2Fvar%2Frun%2Fpostgresql/d', { host: '/var/run/postgresql' }],
  ['postgresql://u@%2Fvar%2Frun%2Fpostgresql:6543/d', { host: '/var/run/postgresql', port: 6543 }],
  ['postgresql://u@/d', { host: 'localhost' }],
  ['postgres://u@h?dbname=d&port=6543&password=p', { port: 6543, password: 'p' }],
  ['postgres://u@h/d?schema=fleet&pgbouncer=true', { schema: 'fleet', pooled: true }],
  ['postgres://u@h/d?application_name=a%20b&connect_timeout=3', { applicationName: 'a b', connectTimeoutMs: 3_000 }],
  ['postgres://u@h/d?sslmode=disable', {}],
])('%s', (url, parts) => {
  expect(parseDatabaseUrl(url)).toEqual({ ...BASE, ...parts })
})

test.each<[string, string, string]>([
  ['a malformed percent sign in the password', 'postgres://u:s3cret%zz@h/d', 'password has a percent sign'],
  ['a malformed percent sign in the name', 'postgres://u:s3cret@h/d%', 'database name has a percent sign'],
  ['a malformed percent sign in a parameter', 'postgres://u:s3cret@h/d?schema=%', 'value of schema has a percent sign'],
  ['options', 'postgres://u:s3cret@h/d?options=-csearch_path%3Dx', 'options: '],
  ['an unknown parameter', 'postgres://u:s3cret@h/d?shcema=x', 'shcema'],
  [
    'a parameter of Prisma that is not ours',
    'postgres://u:s3cret@h/d?connection_limit=3',
    'SEALFLEET_DATABASE_POOL_SIZE',
  ],
  ['a parameter twice', 'postgres://u:s3cret@h/d?schema=a&schema=b', 'schema: it stands there twice'],
  ['a parameter without a value', 'postgres://u:s3cret@h/d?schema=', 'schema: it has no value'],
  ['a mode of TLS that may fall back to none', 'postgres://u:s3cret@h/d?sslmode=prefer', 'sslmode'],
  [
    'a file that is not there',
    'postgres://u:s3cret@h/d?sslrootcert=/nowhere/ca.pem',
    'sslrootcert: its file cannot be read (ENOENT)',
  ],
  ['several hosts', 'postgres://u:s3cret@h,i/d', 'several hosts'],
  ['a port that is none', 'postgres://u:s3cret@h:99999/d', 'port'],
  ['no database', 'postgres://u:s3cret@h', 'no database'],
  ['another protocol', 'mysql://u:s3cret@h/d', 'begin with postgres://'],
  ['TLS on a socket', 'postgres://u:s3cret@/d?host=/run&sslmode=require', 'socket has no TLS'],
])('%s is refused by its name, without a word of the password', (_, url, message) => {
  let error: unknown
  try {
    parseDatabaseUrl(url)
  } catch (thrown) {
    error = thrown
  }
  expect(error).toMatchObject({ code: 'DB_URL', message: expect.stringContaining(message) as unknown })
  expect(String(error)).not.toContain('s3cret')
})

describe('certificates', () => {
  let dir: TempDir
  let file: string
  beforeAll(async () => {
    dir = await tempDir()
    file = path.join(dir.path, 'cert.pem')
    execFileSync(
      'openssl',
      [
        'req',
        '-x509',
        '-newkey',
        'rsa:2048',
        '-nodes',
        '-days',
        '1',
        '-subj',
        '/CN=x',
        '-out',
        file,
        '-keyout',
        '/dev/null',
      ],
      { stdio: 'ignore' },
    )
  })
  afterAll(() => dir?.[Symbol.asyncDispose]())

  test('come from the URL’s files, and turn TLS on', () => {
    const { ssl } = parseDatabaseUrl(`postgres://u@h/d?sslrootcert=${file}`)
    expect(ssl).toMatchObject({ ca: readFileSync(file, 'utf8'), rejectUnauthorized: true })
  })

  test('come from the caller’s settings, with the name that the certificate must have', () => {
    const { ssl } = parseDatabaseUrl('postgres://u@h/d', { ca: 'PEM', servername: 'db.example' })
    expect(ssl).toMatchObject({ ca: 'PEM', servername: 'db.example', rejectUnauthorized: true })
    expect(() => parseDatabaseUrl('postgres://u@h/d?sslmode=disable', { ca: 'PEM' })).toThrow('sslmode')
  })
})
