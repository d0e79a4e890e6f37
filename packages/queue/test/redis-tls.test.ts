import { redisUrl, startTlsGate, testAuthority } from '@sealfleet/testkit'
import { describe, expect, test } from 'vitest'
import { connectProducer, createWorkerConnection, type RedisTls } from '../src/redis.js'

const authority = testAuthority()
const other = testAuthority('another')
const good = authority.issue(['DNS:localhost'])
const mine = other.issue(['DNS:client'])

async function ping(gate: { server?: typeof good; clientCa?: string }, tls?: RedisTls): Promise<string> {
  await using entrance = await startTlsGate(redisUrl(), { server: good, ...gate })
  try {
    const redis = await connectProducer(entrance.address(redisUrl(), 'rediss'), { tls, connectTimeoutMs: 3_000 })
    const answer = await redis.ping()
    redis.disconnect()
    return answer
  } catch (error) {
    const { code, message, ownFix } = error as { code: string; message: string; ownFix: string }
    return `${code} ${message} FIX ${ownFix}`
  }
}

describe('Redis over TLS', () => {
  test('is reached with its own authority, and BullMQ’s duplicates keep the settings', async () => {
    await using entrance = await startTlsGate(redisUrl(), { server: good })
    const connection = createWorkerConnection(entrance.address(redisUrl(), 'rediss'), { tls: { ca: authority.ca } })
    const duplicate = connection.duplicate()
    expect([await connection.ping(), await duplicate.ping()]).toEqual(['PONG', 'PONG'])
    for (const one of [connection, duplicate]) one.disconnect()
  })

  test('with a server name that is not its host, and a client certificate', async () => {
    const server = authority.issue(['DNS:redis.example'])
    const tls = { ca: authority.ca, servername: 'redis.example', ...mine }
    expect(await ping({ server, clientCa: other.ca }, tls)).toBe('PONG')
  })

  test.each([
    ['an untrusted authority', {}, undefined, /not trusted here.* FIX .*SEALFLEET_REDIS_TLS_CA_FILE/],
    [
      'another name',
      { server: authority.issue(['DNS:other.example']) },
      { ca: authority.ca },
      /another name: DNS:other\.example.*SEALFLEET_REDIS_TLS_SERVER_NAME/,
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
      /asks for a client certificate.*SEALFLEET_REDIS_TLS_CERT_FILE/,
    ],
  ])('%s is told as such, with the setting that mends it', async (_, gate, tls, told) => {
    const said = await ping(gate, tls)
    expect(said).toMatch(/^REDIS_TLS /)
    expect(said).toMatch(told)
  })
})
