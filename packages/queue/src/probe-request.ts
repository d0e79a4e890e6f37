import type { Redis } from 'ioredis'

/** Milliseconds that a request exists: long enough for each waiting worker, which looks every second. */
const KEPT_MS = 30_000

const keyOf = (prefix: string): string => `${prefix}:probe-now`

/**
 * Asks every worker that waits for a dependency to probe it now. @param id names the request: a worker obeys each once
 */
export async function requestProbe(redis: Pick<Redis, 'set'>, prefix: string, id: string): Promise<void> {
  await redis.set(keyOf(prefix), id, 'PX', KEPT_MS)
}

/** The latest request, if it is not too old. */
export function probeRequest(redis: Pick<Redis, 'get'>, prefix: string): Promise<string | null> {
  return redis.get(keyOf(prefix))
}
