import { requireVariable, startTlsGate, testAuthority } from '@sealfleet/testkit'
import pg from 'pg'
import { expect, test } from 'vitest'
import { poolConfig } from '../src/db/connection.js'
import type { DatabaseTls } from '../src/db/database-url.js'
import { recordsError } from '../src/db/driver-error.js'
import { migrationStatus } from '../src/migrate/migrate.js'

const authority = testAuthority()
const other = testAuthority('another')
const good = authority.issue(['DNS:localhost'])
const mine = other.issue(['DNS:client'])
const url = requireVariable('SEALFLEET_TEST_DATABASE_URL')

async function ask(gate: { server?: typeof good; clientCa?: string }, tls?: DatabaseTls, mode = ''): Promise<string> {
  await using entrance = await startTlsGate(url, { server: good, startTls: true, ...gate })
  const gated = new URL(entrance.address(url))
  if (mode !== '') gated.searchParams.set('sslmode', mode)
  const pool = new pg.Pool(poolConfig(gated.href, { tls, connectTimeoutMs: 10_000 }).pool)
  try {
    const { rows } = await pool.query<{ answer: string }>(`SELECT 'pong' AS answer`)
    return rows[0]?.answer ?? 'nothing'
  } catch (error) {
    const { code, message, fix } = recordsError(error)
    return `${code} ${message} FIX ${fix}`
  } finally {
    await pool.end()
  }
}

test('PostgreSQL over TLS with its own authority is reached, without a mode in the URL', async () => {
  expect(await ask({}, { ca: authority.ca })).toBe('pong')
})

test('a server name that is not the host of the URL, and a client certificate, are given', async () => {
  const server = authority.issue(['DNS:db.example'])
  expect(await ask({ server, clientCa: other.ca }, { ca: authority.ca, servername: 'db.example', ...mine })).toBe(
    'pong',
  )
})

test.each([
  ['an untrusted authority', {}, undefined, /not trusted here.* FIX .*SEALFLEET_DATABASE_TLS_CA_FILE/],
  [
    'another name',
    { server: authority.issue(['DNS:other.example']) },
    { ca: authority.ca },
    /another name: DNS:other\.example.*SEALFLEET_DATABASE_TLS_SERVER_NAME/,
  ],
  [
    'not the name that was set',
    {},
    { ca: authority.ca, servername: 'db.example' },
    /another name.*SEALFLEET_DATABASE_TLS_SERVER_NAME/,
  ],
  [
    'an expired certificate',
    { server: authority.issue(['DNS:localhost'], { expired: true }) },
    { ca: authority.ca },
    /has expired FIX .*renewed/,
  ],
  [
    'no client certificate',
    { clientCa: other.ca },
    { ca: authority.ca },
    /asks for a client certificate.*SEALFLEET_DATABASE_TLS_CERT_FILE/,
  ],
])('%s is told as such, with the setting that mends it', async (_, gate, tls, told) => {
  const said = await ask(gate, tls, tls === undefined ? 'verify-full' : '')
  expect(said).toMatch(/^DB_TLS /)
  expect(said).toMatch(told)
})

test('a server without TLS is told as such', async () => {
  const asked = migrationStatus(url, { tls: { ca: authority.ca } })
  await expect(asked).rejects.toMatchObject({
    code: 'DB_TLS',
    message: 'the database does not speak TLS on that port',
  })
})

test('migrate ends with the reason, too, when the server ends the handshake', async () => {
  await using entrance = await startTlsGate(url, { server: good, startTls: true, clientCa: other.ca })
  const asked = migrationStatus(entrance.address(url), { tls: { ca: authority.ca } })
  await expect(asked).rejects.toMatchObject({ code: 'DB_TLS' })
})
