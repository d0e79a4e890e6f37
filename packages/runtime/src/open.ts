/**
 * The one place that opens Postgres, Redis, the store and the HSM from the configuration, for every program. A driver is
 * loaded when it is first opened: most commands need one of them, and loading all takes longer than their work.
 */
import { hsmTokens, tlsOptions, type Config } from '@sealfleet/config'
import type { HsmPool, PoolOptions } from '@sealfleet/hsm'
import type { ProducerSettings } from '@sealfleet/queue'
import type { Records } from '@sealfleet/records'
import type { Store, StoreOptions } from '@sealfleet/store'
import type { Logger } from '@sealfleet/telemetry'
import type { Redis } from 'ioredis'

/** Bytes of an application's name that Postgres shows. */
const NAME_BYTES = 63

export type RedisSettings = Pick<Config<'redis'>, 'redis' | 'protection'>

/** @param name of the program, as Postgres shows it @throws RecordsError */
export async function openConfiguredRecords(
  { database }: Pick<Config<'database'>, 'database'>,
  { name, poolSize = database.poolSize }: { readonly name: string; readonly poolSize?: number },
): Promise<Records> {
  const { openRecords } = await import('./drivers/records.js')
  return openRecords(database.url.reveal(), {
    applicationName: name.slice(0, NAME_BYTES),
    poolSize,
    connectTimeoutMs: database.connectTimeoutMs,
    statementTimeoutMs: database.statementTimeoutMs,
    tls: tlsOptions(database.tls),
  })
}

/** A connection that fails fast, for looking at the queues. @throws CodedError */
export async function openRedis(
  { redis, protection }: RedisSettings,
  settings: Pick<ProducerSettings, 'connectionName' | 'onError'>,
): Promise<Redis> {
  const { connectProducer } = await import('./drivers/redis.js')
  return connectProducer(redis.url.reveal(), {
    ...settings,
    tls: tlsOptions(redis.tls),
    allowPlaintext: protection.allowPlaintext.has('redis'),
  })
}

/** The same, for giving jobs to the queues: to a Redis that evicts no key. @throws CodedError */
export async function openQueueRedis(config: RedisSettings, connectionName: string): Promise<Redis> {
  const connection = await openRedis(config, { connectionName })
  try {
    const { assertNoEviction } = await import('./drivers/redis.js')
    await assertNoEviction(connection)
    return connection
  } catch (error) {
    connection.disconnect()
    throw error
  }
}

/** A connection that waits for Redis permanently, for taking jobs and for their events. */
export async function workerRedis({ redis }: Pick<RedisSettings, 'redis'>, connectionName: string): Promise<Redis> {
  const { createWorkerConnection } = await import('./drivers/redis.js')
  return createWorkerConnection(redis.url.reveal(), { connectionName, tls: tlsOptions(redis.tls) })
}

/** @see storeOptions */
export async function openConfiguredStore(
  config: Pick<Config<'s3'>, 's3'>,
  options: Partial<StoreOptions> & { readonly log?: Logger },
): Promise<Store> {
  const { log, ...own } = options
  const { openStore } = await import('./drivers/store.js')
  return openStore({ ...storeOptions(config, log), ...own })
}

/** The store's options from the configuration; its warnings go to the log, if there is one. */
export function storeOptions({ s3 }: Pick<Config<'s3'>, 's3'>, log?: Logger): StoreOptions {
  return {
    ...(s3.endpoint !== undefined && { endpoint: s3.endpoint }),
    region: s3.region,
    bucket: s3.bucket,
    accessKeyId: s3.accessKeyId.reveal(),
    secretAccessKey: s3.secretAccessKey.reveal(),
    forcePathStyle: s3.forcePathStyle,
    connectTimeoutMs: s3.connectTimeoutMs,
    requestTimeoutMs: s3.requestTimeoutMs,
    maxAttempts: s3.maxAttempts,
    partSize: s3.partSize,
    unsignedPayload: s3.unsignedPayload,
    checksums: s3.checksums,
    tls: tlsOptions(s3.tls),
    ...(log !== undefined && {
      onWarning: (warning) => log.warn({ component: 's3', code: warning.code, err: warning }, 'store warning'),
    }),
  }
}

/** @param options what differs between programs: agents, sessions, lockout, events @throws HsmError */
export async function openHsmPool(
  config: Pick<Config<'hsm'>, 'hsm' | 'protection' | 'passthroughEnv'>,
  options: Omit<PoolOptions, 'tokens' | 'softTimeoutMs' | 'hardTimeoutMs'>,
): Promise<HsmPool> {
  const { softTimeoutMs, hardTimeoutMs } = config.hsm
  const { HsmPool } = await import('./drivers/hsm.js')
  return HsmPool.open({ tokens: hsmTokens(config), softTimeoutMs, hardTimeoutMs, ...options })
}
