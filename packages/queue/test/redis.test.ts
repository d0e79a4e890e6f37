import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { freePort } from '../../../tools/lib/ports.mjs'
import { classify } from '@sealfleet/failures'
import { openIngestClient } from '../src/client/ingest-client.js'
import type { AcceptFiles } from '../src/client/terms.js'
import { MemoryRecords } from './memory-records.js'
import { assertNoEviction, connectProducer, createWorkerConnection } from '../src/redis.js'
import { closing, startRedis, type PrivateRedis } from './private-redis.js'

let server: PrivateRedis
beforeAll(async () => {
  server = await startRedis(['--requirepass', 'letmein', '--maxmemory-policy', 'noeviction'])
})
afterAll(() => server[Symbol.asyncDispose]())

const withPassword = (password: string): string => server.url.replace('//', `//:${password}@`)

describe('a producer’s connection', () => {
  test('takes commands as soon as it is given out', async () => {
    const redis = await connectProducer(withPassword('letmein'), { connectionName: 'test' })
    expect(await redis.ping()).toBe('PONG')
    expect(await redis.client('GETNAME')).toBe('test')
    redis.disconnect()
  })

  test('fails at once where no one listens, and says where', async () => {
    const port = await freePort()
    await expect(connectProducer(`redis://:hidden@127.0.0.1:${port}`)).rejects.toMatchObject({
      code: 'REDIS_UNAVAILABLE',
      message: `Redis at 127.0.0.1:${port} does not answer`,
    })
  })

  test.each([
    ['a wrong password', (): string => withPassword('wrong')],
    ['no password', (): string => server.url],
  ])('says that %s was refused, without showing it', async (_, url) => {
    await expect(connectProducer(url())).rejects.toSatisfy(
      (error: Error) => classify(error).code === 'REDIS_ACCESS_DENIED' && !error.message.includes('wrong'),
    )
  })

  test('gives up on a server that accepts and never answers', async () => {
    const stuck = await startRedis()
    stuck.process.kill('SIGSTOP')
    try {
      await expect(connectProducer(stuck.url, { connectTimeoutMs: 300 })).rejects.toMatchObject({
        code: 'REDIS_UNAVAILABLE',
      })
    } finally {
      await stuck[Symbol.asyncDispose]()
    }
  })

  test('fails commands at once after the server has gone, with errors that have a code', async () => {
    const gone = await startRedis()
    const redis = await connectProducer(gone.url)
    const closed = closing(redis)
    await gone[Symbol.asyncDispose]()
    await closed
    const failure: unknown = await redis.get('k').catch((error: unknown) => error)
    expect(classify(failure, { during: 'redis' }).code).toBe('REDIS_UNAVAILABLE')
    redis.disconnect()
  })
})

test('a worker’s connection waits over an outage instead of failing', async () => {
  const redis = createWorkerConnection(withPassword('letmein'))
  expect(redis.options.maxRetriesPerRequest).toBeNull()
  await redis.set('k', 'v')
  redis.disconnect(true)
  expect(await redis.get('k')).toBe('v')
  redis.disconnect()
})

describe('assertNoEviction', () => {
  test('takes noeviction', async () => {
    const redis = await connectProducer(withPassword('letmein'))
    await expect(assertNoEviction(redis)).resolves.toBeUndefined()
    redis.disconnect()
  })

  test.each(['allkeys-lru', 'volatile-lru', 'volatile-ttl', 'allkeys-random'])(
    'refuses %s, and says what to do',
    async (policy) => {
      const redis = await connectProducer(withPassword('letmein'))
      await redis.config('SET', 'maxmemory-policy', policy)
      try {
        await expect(assertNoEviction(redis)).rejects.toMatchObject({
          code: 'REDIS_UNSUITABLE',
          message: expect.stringContaining(policy) as string,
          fix: expect.stringContaining('noeviction') as string,
        })
      } finally {
        await redis.config('SET', 'maxmemory-policy', 'noeviction')
        redis.disconnect()
      }
    },
  )

  test('refuses a server that does not say', async () => {
    await expect(assertNoEviction({ info: () => Promise.resolve('used_memory:1\r\n') })).rejects.toMatchObject({
      code: 'REDIS_UNSUITABLE',
    })
  })
})

test('real errors of Redis are classified', async () => {
  const redis = await connectProducer(withPassword('letmein'))
  await redis.config('SET', 'maxmemory', '1')
  const full: unknown = await redis.set('k', 'v').catch((error: unknown) => error)
  await redis.config('SET', 'maxmemory', '0')
  expect(classify(full).code).toBe('REDIS_UNAVAILABLE')
  await redis.acl('SETUSER', 'narrow', 'on', '>narrow', '+auth', '+ping', '+info', '+hello', '+client')
  await redis.auth('narrow', 'narrow')
  const denied: unknown = await redis.get('k').catch((error: unknown) => error)
  expect(classify(denied).code).toBe('REDIS_ACCESS_DENIED')
  redis.disconnect()
})

test.each([
  ['redis://:hidden@192.0.2.1:6379/0'],
  ['redis://redis.example:6379'],
  ['192.0.2.1:6379'],
  ['redis:///0?host=192.0.2.1'],
  ['REDISS://192.0.2.1:6379'],
])('a producer refuses %s: plaintext beyond this machine, before anything is sent', async (redisUrl) => {
  const accept: AcceptFiles = (files) => new MemoryRecords().accept(files)
  const refusal: unknown = await openIngestClient({ redisUrl, accept }).catch((error: unknown) => error)
  expect(refusal).toMatchObject({ code: 'CONFIG_INVALID', fix: expect.stringContaining('allowPlaintext') as string })
  expect(String(refusal)).not.toContain('hidden')
  const allowed = { redisUrl, accept, allowPlaintext: true, connectTimeoutMs: 50 }
  await expect(openIngestClient(allowed)).rejects.toMatchObject({ code: 'REDIS_UNAVAILABLE' })
})
