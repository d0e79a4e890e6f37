import { freshBucket, startTlsGate, testAuthority, type FreshBucket } from '@sealfleet/testkit'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openStore } from '../src/store.js'
import type { StoreTls } from '../src/types.js'

const authority = testAuthority()
const other = testAuthority('another')
const good = authority.issue(['DNS:localhost'])
const mine = other.issue(['DNS:client'])

let bucket: FreshBucket
beforeAll(async () => {
  bucket = await freshBucket('s3rver')
})
afterAll(() => bucket[Symbol.asyncDispose]())

async function open(gate: { server?: typeof good; clientCa?: string }, tls?: StoreTls): Promise<string> {
  await using entrance = await startTlsGate(bucket.endpoint, { server: good, ...gate })
  const { region, accessKeyId, secretAccessKey } = bucket
  const endpoint = entrance.address(bucket.endpoint, 'https').replace(/\/$/, '')
  const options = { endpoint, region, bucket: bucket.bucket, accessKeyId, secretAccessKey, maxAttempts: 1 }
  try {
    using store = await openStore({ ...options, access: 'read-only', ...(tls && { tls }) })
    return store.bucket
  } catch (error) {
    const { code, message, fix } = error as { code: string; message: string; fix: string }
    return `${code} ${message} FIX ${fix}`
  }
}

test('S3 over TLS with its own authority is reached', async () => {
  expect(await open({}, { ca: authority.ca })).toBe(bucket.bucket)
})

test('a server name that is not the host of the endpoint, and a client certificate, are given', async () => {
  const server = authority.issue(['DNS:s3.example'])
  const tls = { ca: authority.ca, servername: 's3.example', ...mine }
  expect(await open({ server, clientCa: other.ca }, tls)).toBe(bucket.bucket)
})

test.each([
  ['an untrusted authority', {}, undefined, /not trusted here.* FIX .*SEALFLEET_S3_TLS_CA_FILE/],
  [
    'another name',
    { server: authority.issue(['DNS:other.example']) },
    { ca: authority.ca },
    /another name: DNS:other\.example.*SEALFLEET_S3_TLS_SERVER_NAME/,
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
    /asks for a client certificate.*SEALFLEET_S3_TLS_CERT_FILE/,
  ],
])('%s is told as such, with the setting that mends it', async (_, gate, tls, told) => {
  const said = await open(gate, tls)
  expect(said).toMatch(/^S3_TLS /)
  expect(said).toMatch(told)
})
