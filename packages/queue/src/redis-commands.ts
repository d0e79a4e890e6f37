import { randomUUID } from 'node:crypto'
import type { Redis } from 'ioredis'

/**
 * Every command that producers, workers, maintenance, ops and the doctor send to Redis 7.0, those of BullMQ's scripts
 * included: an access list must allow them. (Clients of 7.2 and later also send `client|setinfo`.) The README of this
 * package has it as a line.
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

/** Commands of the connection itself: they cannot be tested, or not inside a transaction. */
const OF_CONNECTIONS = new Set(['multi', 'exec', 'auth', 'hello', 'select', 'quit', 'readonly'])
/** The largest number of required arguments of a command in the list. */
const MOST_ARGUMENTS = 6

/**
 * The commands of the list that this user may not run. Nothing is executed: each is only queued in a transaction that
 * is discarded, and Redis checks rights before it queues. Uses a connection like the one given.
 * @throws the obstacle to asking, e.g. no right to MULTI
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

/** Adds arguments until Redis accepts their number: only then it checks rights. */
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
