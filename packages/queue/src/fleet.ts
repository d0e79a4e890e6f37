/**
 * The owner of the queues. A key of Redis below the queues' prefix holds the id of the fleet (of its database) that
 * uses them. Two fleets on one prefix would store each other's files under the same ids, so all code that opens the
 * queues and has a database compares the two ids.
 */
import type { Redis } from 'ioredis'
import { CodedError } from '@sealfleet/failures'
import { isNonNilUuid } from './ingest/ids.js'
import { QUEUE_PREFIX } from './queues.js'

type Commands = Pick<Redis, 'get' | 'set'>

/** The key that holds the fleet's id. No queue has a key of that name: theirs are `<prefix>:<queue>:…`. */
export function fleetKey(prefix: string = QUEUE_PREFIX): string {
  return `${prefix}:fleet`
}

/** The stored id; undefined: none. Any other stored value is returned as it is. */
export async function ownerOfQueues(redis: Pick<Commands, 'get'>, prefix?: string): Promise<string | undefined> {
  return (await redis.get(fleetKey(prefix))) ?? undefined
}

/**
 * Claims unclaimed queues for this fleet, as on a new Redis and on one that was wiped.
 * @throws {CodedError} FLEET_MISMATCH when they are another fleet's; errors of Redis
 */
export async function claimQueues(redis: Commands, fleet: string, prefix?: string): Promise<void> {
  const key = fleetKey(prefix)
  const owner = await redis.get(key)
  if (owner === fleet) return
  if (owner === null && (await redis.set(key, fleet, 'NX')) === 'OK') return
  await assertQueuesAreOurs(redis, fleet, prefix)
}

/** As `claimQueues`, without claiming: for commands that only read. */
export async function assertQueuesAreOurs(
  redis: Pick<Commands, 'get'>,
  fleet: string,
  prefix: string = QUEUE_PREFIX,
): Promise<void> {
  const owner = await ownerOfQueues(redis, prefix)
  if (owner === undefined || owner === fleet) return
  const whose = isNonNilUuid(owner) ? `fleet ${owner}` : 'something that is no fleet'
  throw new CodedError('FLEET_MISMATCH', `the queues below ${prefix} belong to ${whose}, and this is fleet ${fleet}`, {
    fix: 'Give this fleet a SEALFLEET_QUEUE_PREFIX or a Redis of its own, or correct SEALFLEET_DATABASE_URL.',
  })
}

/** A queue's knowledge of its owner. */
export interface OwnedQueue {
  /** Undefined if the producer did not give it: then no ids are compared, and its jobs carry none. */
  readonly fleet: string | undefined
  readonly redis: Redis
  /** Claims unclaimed queues for this fleet. @throws {CodedError} FLEET_MISMATCH; errors of Redis */
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

/**
 * Claims the queues for this fleet, even from another one. @returns the id of the fleet that had them, if it was
 * another
 */
export async function takeOverQueues(redis: Commands, fleet: string, prefix?: string): Promise<string | undefined> {
  const before = await ownerOfQueues(redis, prefix)
  if (before === fleet) return undefined
  await redis.set(fleetKey(prefix), fleet)
  return before !== undefined && isNonNilUuid(before) ? before : undefined
}
