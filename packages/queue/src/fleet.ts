/**
 * Whose queues they are. A key of Redis below the queues' prefix holds the id of the fleet (of its database) that uses them.
 * Two fleets on one prefix would store each other's files under the same ids, so everything that opens the queues with a
 * database at hand compares the two ids.
 */
import type { Redis } from 'ioredis'
import { CodedError } from '@sealfleet/failures'
import { isUuid } from './ingest/ids.js'
import { QUEUE_PREFIX } from './queues.js'

type Commands = Pick<Redis, 'get' | 'set'>

/** The key that holds the fleet's id. No queue has a key of that name: theirs are `<prefix>:<queue>:…`. */
export function fleetKey(prefix: string = QUEUE_PREFIX): string {
  return `${prefix}:fleet`
}

/** The id that stands there; undefined: none does. Whatever else stands there is given back as it is. */
export async function ownerOfQueues(redis: Pick<Commands, 'get'>, prefix?: string): Promise<string | undefined> {
  return (await redis.get(fleetKey(prefix))) ?? undefined
}

/**
 * Makes the queues this fleet's where they are no one's yet, as on a new Redis and on one that was wiped.
 * @throws {CodedError} FLEET_MISMATCH when they are another fleet's; what Redis throws
 */
export async function claimQueues(redis: Commands, fleet: string, prefix?: string): Promise<void> {
  const key = fleetKey(prefix)
  const owner = await redis.get(key)
  if (owner === fleet) return
  if (owner === null && (await redis.set(key, fleet, 'NX')) === 'OK') return
  await assertQueuesAreOurs(redis, fleet, prefix)
}

/** As `claimQueues`, without claiming anything: for those that only look. */
export async function assertQueuesAreOurs(
  redis: Pick<Commands, 'get'>,
  fleet: string,
  prefix: string = QUEUE_PREFIX,
): Promise<void> {
  const owner = await ownerOfQueues(redis, prefix)
  if (owner === undefined || owner === fleet) return
  const whose = isUuid(owner) ? `fleet ${owner}` : 'something that is no fleet'
  throw new CodedError('FLEET_MISMATCH', `the queues below ${prefix} belong to ${whose}, and this is fleet ${fleet}`, {
    fix: 'Give this fleet a SEALFLEET_QUEUE_PREFIX or a Redis of its own, or correct SEALFLEET_DATABASE_URL.',
  })
}

/** What a queue knows of whose it is. */
export interface OwnedQueue {
  /** Undefined where the producer did not say: then nothing is compared, and its jobs do not say it either. */
  readonly fleet: string | undefined
  readonly redis: Redis
  /** Makes the queues this fleet's where they are no one's. @throws {CodedError} FLEET_MISMATCH; what Redis throws */
  assertOurs(): Promise<void>
}

export function owned<Q extends object>(
  queue: Q,
  { redis, fleet, prefix }: { redis: Redis; fleet: string | undefined; prefix: string | undefined },
): Q & OwnedQueue {
  const assertOurs = async (): Promise<void> => {
    if (fleet !== undefined) await claimQueues(redis, fleet, prefix)
  }
  return Object.assign(queue, { fleet, redis, assertOurs })
}

/** Makes the queues this fleet's, no matter who had them. @returns the id of the fleet that had them, if it was another */
export async function takeOverQueues(redis: Commands, fleet: string, prefix?: string): Promise<string | undefined> {
  const before = await ownerOfQueues(redis, prefix)
  if (before === fleet) return undefined
  await redis.set(fleetKey(prefix), fleet)
  return before !== undefined && isUuid(before) ? before : undefined
}
