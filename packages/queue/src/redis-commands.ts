import { randomUUID } from 'node:crypto'
import type { Redis } from 'ioredis'

/**
 * Every command that producers, workers, maintenance, ops and the doctor give Redis 7.0, those of BullMQ's scripts included: what
 * an access list must allow. (Clients of 7.2 and later also send `client|setinfo`.) The README of this package has it as a line.
 */
export const REDIS_COMMANDS: readonly string[] = [
  ...[
    'evalsha',
    'eval',
    'script|load',
    'bzpopmin',
    'xread',
    'xadd',
    'xtrim',
    'hset',
    'hmset',
    'hget',
    'hmget',
    'hgetall',
  ],
  ...[
    'hincrby',
    'hdel',
    'hexists',
    'hlen',
    'hscan',
    'del',
    'exists',
    'expire',
    'pexpire',
    'pttl',
    'ttl',
    'incr',
    'incrby',
  ],
  ...['get', 'set', 'setex', 'type', 'scan', 'sadd', 'srem', 'smembers', 'sismember', 'scard', 'sscan', 'zadd', 'zrem'],
  ...[
    'zrange',
    'zrangebyscore',
    'zrevrange',
    'zrevrangebyscore',
    'zremrangebyrank',
    'zremrangebyscore',
    'zcard',
    'zcount',
  ],
  ...[
    'zscore',
    'zpopmin',
    'lpush',
    'rpush',
    'lpop',
    'rpop',
    'rpoplpush',
    'lrem',
    'llen',
    'lrange',
    'lindex',
    'linsert',
  ],
  ...[
    'lset',
    'ltrim',
    'lpos',
    'multi',
    'exec',
    'ping',
    'info',
    'time',
    'client|setname',
    'client|getname',
    'client|list',
  ],
  ...['config|get', 'auth', 'hello', 'select', 'quit', 'readonly'],
]

/** Of the connection itself: they are not asked about, or not inside a transaction. */
const OF_CONNECTIONS = new Set(['multi', 'exec', 'auth', 'hello', 'select', 'quit', 'readonly'])
/** No command of the list has more arguments that it can't do without. */
const MOST_ARGUMENTS = 6

/**
 * The commands of the list that Redis does not let this user give. Nothing is done: each is only queued in a transaction that is
 * thrown away, and Redis looks at rights before it queues. Asks over a connection like the one given.
 * @throws what stands in the way of asking, e.g. no right to MULTI
 */
export async function missingCommands(like: Redis, prefix: string, signal: AbortSignal): Promise<readonly string[]> {
  const redis = like.duplicate({ lazyConnect: true, retryStrategy: () => null, maxRetriesPerRequest: 0 })
  redis.on('error', () => undefined)
  const stop = (): void => redis.disconnect()
  signal.addEventListener('abort', stop, { once: true })
  try {
    await redis.connect()
    await redis.call('MULTI')
    const key = `${prefix}:trial:${randomUUID()}`
    const missing: string[] = []
    for (const command of REDIS_COMMANDS) {
      if (!OF_CONNECTIONS.has(command) && !(await isAllowed(redis, command, key))) missing.push(command)
    }
    return missing
  } finally {
    signal.removeEventListener('abort', stop)
    redis.disconnect()
  }
}

/** With more and more arguments, until Redis finds nothing wrong with their number: only then it looks at rights. */
async function isAllowed(redis: Redis, command: string, key: string): Promise<boolean> {
  const [name = '', ...subcommand] = command.split('|')
  for (let n = 0; n <= MOST_ARGUMENTS; n++) {
    try {
      await redis.call(name, ...subcommand, ...Array.from({ length: n }, () => key))
      return true
    } catch (error) {
      const message = error instanceof Error ? error.message : ''
      if (message.startsWith('NOPERM') && message.includes('permissions to run')) return false
      if (!/wrong number of arguments|unknown subcommand/i.test(message)) return true
    }
  }
  return true
}
