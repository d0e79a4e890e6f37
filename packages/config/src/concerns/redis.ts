import { z } from 'zod'
import { serviceUrl, addressOf } from '../url.js'
import type { Secret } from '../secret.js'
import { defineConcern } from '../concern.js'
import { secret, withDefault } from '../variable.js'

export interface RedisConfig {
  readonly url: Secret
  /** `host:port/db`, fit to be shown */
  readonly address: string
  /** BullMQ's key prefix; the braces keep all keys in one slot of a Redis cluster */
  readonly prefix: string
}

const variables = {
  url: secret({
    name: 'SEALFLEET_REDIS_URL',
    about: 'the Redis of the queues; `rediss:` for TLS; its policy must be `noeviction`',
    wants: 'a redis: or rediss: URL with a host',
    example: 'redis://:password@127.0.0.1:6379/0',
    schema: serviceUrl(['redis:', 'rediss:']),
  }),
  prefix: withDefault('{sealfleet}', {
    name: 'SEALFLEET_QUEUE_PREFIX',
    about: 'prefix of all keys of the queues',
    wants: 'letters, digits, - and _ in one pair of braces',
    example: '{sealfleet}',
    schema: z.string().regex(/^\{[A-Za-z0-9_-]{1,64}\}$/, { error: 'is not of that form' }),
  }),
}

export const redis = defineConcern({
  variables,
  build: (values): RedisConfig => ({ ...values, address: addressOf(values.url.reveal(), 6379) }),
})
