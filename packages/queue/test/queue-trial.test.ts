import { readFile } from 'node:fs/promises'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { classify } from '@sealfleet/failures'
import { missingCommands, REDIS_COMMANDS } from '../src/redis-commands.js'
import { tryQueue, tryWorker } from '../src/queue-trial.js'
import { startRedis, type PrivateRedis } from './private-redis.js'

const PREFIX = '{trial}'
const soon = () => AbortSignal.timeout(20_000)

let server: PrivateRedis
let admin: Redis
beforeAll(async () => {
  server = await startRedis(['--maxmemory-policy', 'noeviction', '--enable-protected-configs', 'local'])
  admin = new Redis(server.url)
})
afterAll(async () => {
  admin?.disconnect()
  await server?.[Symbol.asyncDispose]()
})

/** Both parts of a trial, as the doctor does them; what Redis refused, or nothing. */
async function trial(url: string): Promise<Error | undefined> {
  const connection = new Redis(url, { maxRetriesPerRequest: 1 })
  connection.on('error', () => undefined)
  try {
    await tryQueue(connection, PREFIX)
    await tryWorker(connection, PREFIX, soon())
    return undefined
  } catch (error) {
    return error as Error
  } finally {
    connection.disconnect()
  }
}

/** As the doctor asks, when a trial was denied. */
async function lacking(url: string): Promise<readonly string[]> {
  const connection = new Redis(url)
  connection.on('error', () => undefined)
  try {
    return await missingCommands(connection, PREFIX, soon())
  } finally {
    connection.disconnect()
  }
}

async function userWith(commands: readonly string[], prefix = PREFIX): Promise<string> {
  const rights = [`~${prefix}:*`, 'resetchannels', '-@all', ...commands.map((command) => `+${command}`)]
  await admin.call('ACL', 'SETUSER', 'tried', 'reset', 'on', '>pass', ...rights)
  return server.url.replace('redis://', 'redis://tried:pass@')
}

test('a Redis that does what queues need passes, and nothing of the trial stays but the queue’s own few keys', async () => {
  expect(await trial(server.url)).toBeUndefined()
  const keys = (await admin.keys('*')).sort()
  expect(keys.filter((key) => !/^\{trial\}:trial:(meta|events|id|marker)$/.test(key))).toEqual([])
})

describe('a Redis that answers and does not do the work', () => {
  test('is full', async () => {
    await admin.config('SET', 'maxmemory', '1')
    try {
      const error = await trial(server.url)
      expect([error?.message, classify(error, { during: 'redis' }).code]).toEqual([
        expect.stringMatching(/^OOM/),
        'REDIS_UNAVAILABLE',
      ])
    } finally {
      await admin.config('SET', 'maxmemory', '0')
    }
  })

  test('is a replica', async () => {
    await using master = await startRedis()
    await admin.replicaof('127.0.0.1', String(master.port))
    try {
      const error = await trial(server.url)
      expect(error?.message).toMatch(/READONLY/)
      expect(classify(error, { during: 'redis' }).code).toBe('REDIS_UNAVAILABLE')
    } finally {
      await admin.replicaof('NO', 'ONE')
    }
  })

  test('cannot write its snapshot', async () => {
    await admin.config('SET', 'stop-writes-on-bgsave-error', 'yes')
    await admin.config('SET', 'dir', '/proc')
    await admin.config('SET', 'save', '3600 1')
    try {
      await admin.set('x', '1')
      await admin.bgsave()
      await expect.poll(async () => (await admin.info('persistence')).includes('last_bgsave_status:err')).toBe(true)
      const error = await trial(server.url)
      expect([error?.message, classify(error, { during: 'redis' }).code]).toEqual([
        expect.stringMatching(/MISCONF/),
        'REDIS_UNAVAILABLE',
      ])
    } finally {
      await admin.config('SET', 'save', '')
      await admin.config('SET', 'dir', '/tmp')
      await admin.config('SET', 'stop-writes-on-bgsave-error', 'no')
      await admin.del('x')
    }
  })

  test.each(['evalsha', 'hmset', 'zadd', 'bzpopmin', 'lrem', 'xadd', 'time'])(
    'forbids %s: denied, and the command is named',
    async (command) => {
      const url = await userWith(REDIS_COMMANDS.filter((one) => one !== command))
      const error = await trial(url)
      // The doctor's clock asks for the time; no queue needs it.
      if (command !== 'time') expect(classify(error, { during: 'redis' }).code).toBe('REDIS_ACCESS_DENIED')
      expect(await lacking(url)).toEqual([command])
    },
  )

  test('forbids the prefix: denied, and no command is at fault', async () => {
    const url = await userWith(REDIS_COMMANDS, '{other}')
    expect(classify(await trial(url), { during: 'redis' }).code).toBe('REDIS_ACCESS_DENIED')
    expect(await lacking(url)).toEqual([])
  })
})

test('the documented access list is this list, and suffices', async () => {
  const page = await readFile(new URL('../../../docs/operate/rights.md', import.meta.url), 'utf8')
  const line = /~\{sealfleet\}:\* resetchannels -@all ([^`]*)/.exec(page)?.[1] ?? ''
  const documented = line
    .trim()
    .split(/\s+/)
    .map((word) => word.replace('+', ''))
  expect([...documented].sort()).toEqual([...REDIS_COMMANDS].sort())
  const url = await userWith(documented)
  expect(await trial(url)).toBeUndefined()
  expect(await lacking(url)).toEqual([])
})
