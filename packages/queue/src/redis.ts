import { isLocal, tlsFault } from '@sealfleet/config'
import { Redis } from 'ioredis'
import type { ConnectionOptions as TlsConnectionOptions } from 'node:tls'
import { classify } from '@sealfleet/failures'
import { CodedError } from '@sealfleet/failures'

export interface ConnectionSettings {
  /** called with every connection error; ioredis keeps trying by itself */
  readonly onError?: (error: Error) => void
  /** shown in Redis's CLIENT LIST */
  readonly connectionName?: string
  /** for a `rediss:` URL: the trusted certificates and our own, in Node's terms */
  readonly tls?: RedisTls | undefined
}

export type RedisTls = Pick<TlsConnectionOptions, 'ca' | 'cert' | 'key' | 'servername'>

export interface ProducerSettings extends ConnectionSettings {
  /**
   * allows a Redis beyond this machine without TLS, where job data and the password can be read and changed in transit.
   * The fleet's own programs take it from SEALFLEET_ALLOW_PLAINTEXT (docs/decisions/0025)
   */
  readonly allowPlaintext?: boolean
  /** milliseconds to wait for a connection that takes commands; default 5,000 */
  readonly connectTimeoutMs?: number
  /** milliseconds to wait for the answer to one command; default 10,000 */
  readonly commandTimeoutMs?: number
}

/**
 * A connection for BullMQ's Worker and QueueEvents: commands wait forever, during every outage, since giving up would
 * end the worker. BullMQ duplicates it for its blocking calls.
 */
export function createWorkerConnection(url: string, settings: ConnectionSettings = {}): Redis {
  return open(url, settings, { maxRetriesPerRequest: null })
}

/**
 * A connection for a producer, whose caller waits: it fails fast. Resolves once Redis takes commands; later outages
 * fail the commands at once, while it reconnects in the background.
 * @throws {CodedError} CONFIG_INVALID for an address beyond this machine without TLS, unless that is allowed;
 * REDIS_UNAVAILABLE, REDIS_ACCESS_DENIED or REDIS_TLS; the message names host and port, never the password
 */
export async function connectProducer(url: string, settings: ProducerSettings = {}): Promise<Redis> {
  const { connectTimeoutMs = 5_000, commandTimeoutMs = 10_000, allowPlaintext = false } = settings
  let last: unknown
  const onError = (error: Error): void => {
    last = error
    settings.onError?.(error)
  }
  const redis = open(
    url,
    { ...settings, onError },
    {
      maxRetriesPerRequest: 1,
      enableOfflineQueue: false,
      lazyConnect: true,
      connectTimeout: connectTimeoutMs,
      commandTimeout: commandTimeoutMs,
    },
  )
  // The address as the driver parsed it; it accepts many forms.
  const { host: server = 'localhost', path: socket } = redis.options
  if (!allowPlaintext && !url.startsWith('rediss://') && !isLocal(socket ?? server)) {
    redis.disconnect()
    throw new CodedError('CONFIG_INVALID', `Redis at ${server} is beyond this machine, and its URL has no TLS`, {
      fix: 'Use a rediss: URL (`tls` for an own CA); or allow it with `allowPlaintext: true`, for a network that no one else is in.',
    })
  }
  const deadline = AbortSignal.timeout(connectTimeoutMs)
  try {
    await Promise.race([redis.connect(), rejection(deadline, `no answer in ${connectTimeoutMs} ms`)])
    return redis
  } catch (error) {
    redis.disconnect()
    const cause = last ?? error
    const { code } = classify(cause, { during: 'redis' })
    const { host, port } = redis.options
    const address = redis.options.path ?? `${host ?? 'localhost'}:${port ?? 6379}`
    const tls = tlsFault(cause, 'redis')
    if (tls !== undefined)
      throw new CodedError('REDIS_TLS', `Redis at ${address} ${tls.why}`, { cause, fix: `${tls.fix}.` })
    const refused = code === 'REDIS_ACCESS_DENIED'
    const what = refused ? 'refused the user or password' : 'does not answer'
    throw new CodedError(refused ? code : 'REDIS_UNAVAILABLE', `Redis at ${address} ${what}`, { cause })
  }
}

/**
 * Refuses a Redis that may evict keys: it would silently lose jobs. The policy is read from INFO, which managed
 * services allow where they forbid CONFIG.
 * @throws {CodedError} REDIS_UNSUITABLE
 */
export async function assertNoEviction(redis: Pick<Redis, 'info'>): Promise<void> {
  const info = await redis.info('memory')
  const policy = /^maxmemory_policy:(\S+)/m.exec(info)?.[1]
  if (policy === 'noeviction') return
  throw new CodedError(
    'REDIS_UNSUITABLE',
    `Redis has maxmemory-policy ${policy ?? 'unknown'}, and the queues need noeviction`,
  )
}

interface Behaviour {
  readonly maxRetriesPerRequest: number | null
  readonly enableOfflineQueue?: boolean
  readonly lazyConnect?: boolean
  readonly connectTimeout?: number
  readonly commandTimeout?: number
}

function open(url: string, settings: ConnectionSettings, behaviour: Behaviour): Redis {
  const { onError, connectionName, tls } = settings
  const redis = readingUrl(
    () =>
      new Redis(url, {
        ...behaviour,
        ...(tls === undefined || !url.startsWith('rediss:') ? {} : { tls }),
        ...(connectionName === undefined ? {} : { connectionName }),
        retryStrategy: (times) => Math.min(times * 200, 3_000),
      }),
  )
  // Without a listener ioredis prints errors, with addresses, to standard error.
  redis.on('error', (error: Error) => onError?.(error))
  return redis
}

/**
 * @throws {CodedError} CONFIG_INVALID, which never repeats the URL: ioredis throws a bare URIError or TypeError with it
 */
function readingUrl<T>(open: () => T): T {
  try {
    return open()
  } catch {
    throw new CodedError('CONFIG_INVALID', 'the Redis URL cannot be parsed', {
      fix: 'Write redis://user:password@host:port/0; a % itself is written as %25, other special characters as %XX.',
    })
  }
}

function rejection(signal: AbortSignal, message: string): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(new Error(message, { cause: signal.reason })), { once: true })
  })
}
