import { z } from 'zod'
import { addressOf, redisAddress } from '../url.js'
import type { Secret } from '../secret.js'
import { defineConcern } from '../concern.js'
import { redisTransport, type Transport } from '../transport.js'
import { tlsOf, tlsProblems, tlsVariables, type TlsConfig } from './tls.js'
import { requiredSecret, withDefault } from '../variable.js'

export interface RedisConfig {
  readonly url: Secret
  /** `host:port/db`, fit to be shown */
  readonly address: string
  /** BullMQ's key prefix; the braces keep all keys in one slot of a Redis cluster */
  readonly prefix: string
  readonly transport: Transport
  readonly tls: TlsConfig | undefined
}

const tlsSettings = tlsVariables('REDIS', 'Redis')

const variables = {
  url: requiredSecret({
    name: 'SEALFLEET_REDIS_URL',
    description: 'the Redis of the queues; `rediss:` for TLS; its policy must be `noeviction`',
    expects: 'a redis: or rediss: URL with a host',
    example: 'redis://:password@127.0.0.1:6379/0',
    schema: redisAddress,
  }),
  prefix: withDefault('{sealfleet}', {
    name: 'SEALFLEET_QUEUE_PREFIX',
    description: 'prefix of all keys of the queues',
    expects: 'letters, digits, - and _ in one pair of braces',
    example: '{sealfleet}',
    schema: z.string().regex(/^\{[A-Za-z0-9_-]{1,64}\}$/, { error: 'is not of that form' }),
  }),
  ...tlsSettings,
}

export const redis = defineConcern({
  variables,
  check: (values) => {
    const plain = values.url.reveal().startsWith('redis:')
      ? 'SEALFLEET_REDIS_URL is a redis: URL, without TLS'
      : undefined
    return tlsProblems(tlsSettings, values, plain)
  },
  build: (values): RedisConfig => ({
    url: values.url,
    address: addressOf(values.url.reveal(), 6379),
    prefix: values.prefix,
    transport: redisTransport(values.url.reveal()),
    tls: tlsOf(values),
  }),
})
