/**
 * Jobs that are no longer in any list of their queue. BullMQ takes up to 1,000 delayed jobs out of their list at once
 * and only then reads each. A job whose key is not a hash stops the script (Redis undoes nothing), and it and all later
 * ones are in no list: no worker would take them again, and by its hash each looks like a job that will still run.
 */
import type { Queue } from 'bullmq'
import type { Redis } from 'ioredis'
import { isOwnKey, isWrongType, type BrokenJob } from './broken-jobs.js'

/** Keys per step of the search. */
const STEP = 1_000
/** Keys that BullMQ keeps beside a job, below its key. */
const BESIDE = /:(lock|logs|dependencies|processed|failed|unsuccessful)$/

/** In one step: only jobs that are in no list are put back, and no other process puts them back a second time. */
const PUT_BACK = `
local base, back = KEYS[1], 0
for i = 2, #ARGV do
  local id, there = ARGV[i], false
  for _, list in ipairs({'wait', 'active', 'paused'}) do
    local found = redis.pcall('LPOS', base .. list, id)
    if type(found) == 'number' then there = true end
  end
  for _, set in ipairs({'prioritized', 'delayed', 'completed', 'failed', 'waiting-children'}) do
    local found = redis.pcall('ZSCORE', base .. set, id)
    if type(found) == 'string' then there = true end
  end
  if not there and redis.call('TYPE', base .. id).ok == 'hash' and redis.call('HEXISTS', base .. id, 'finishedOn') == 0 then
    redis.call('ZADD', base .. 'delayed', ARGV[1], id)
    back = back + 1
  end
end
if back > 0 then redis.call('ZADD', base .. 'marker', 0, '0') end
return back`

/** BullMQ's score of a delayed job: milliseconds in the upper bits. */
const SCORE = 0x1000

export interface StrayJobs {
  /** Jobs whose key is not a hash. */
  readonly broken: readonly BrokenJob[]
  /** Jobs that may be put back into their list. */
  readonly sound: readonly string[]
}

/** Reads every key of the queue: only for when BullMQ has met a key of another type. @throws errors of Redis */
export async function findStrayJobs(queue: Queue, redis: Redis): Promise<StrayJobs> {
  const base = queue.toKey('')
  const listed = await listedJobs(queue, redis)
  const broken: BrokenJob[] = []
  const sound: string[] = []
  let cursor = '0'
  do {
    const [next, keys] = await redis.scan(cursor, 'MATCH', `${literally(base)}*`, 'COUNT', STEP)
    cursor = next
    const ids = keys
      .map((key) => key.slice(base.length))
      .filter((id) => id !== '' && !listed.has(id) && !isOwnKey(queue, id) && !BESIDE.test(id))
    await Promise.all(
      ids.map(async (jobId) => {
        const type = await redis.type(queue.toKey(jobId))
        if (type === 'hash') sound.push(jobId)
        else if (type !== 'none') broken.push({ jobId, reason: `its key holds a ${type} where a hash must be` })
      }),
    )
  } while (cursor !== '0')
  return { broken, sound }
}

/**
 * Puts jobs that are in no list among the delayed ones, due now. @returns how many were in none. @throws errors of
 * Redis
 */
export async function putBackStrayJobs(queue: Queue, redis: Redis, jobIds: readonly string[]): Promise<number> {
  let back = 0
  for (let at = 0; at < jobIds.length; at += STEP) {
    const some = jobIds.slice(at, at + STEP)
    back += Number(await redis.eval(PUT_BACK, 1, queue.toKey(''), String(Date.now() * SCORE), ...some))
  }
  return back
}

async function listedJobs(queue: Queue, redis: Redis): Promise<ReadonlySet<string>> {
  const all = async (ids: Promise<string[]>): Promise<string[]> => {
    try {
      return await ids
    } catch (error) {
      if (isWrongType(error)) return []
      throw error
    }
  }
  const lists = ['wait', 'active', 'paused'].map((name) => all(redis.lrange(queue.toKey(name), 0, -1)))
  const sets = ['prioritized', 'delayed', 'completed', 'failed', 'waiting-children'].map((name) =>
    all(redis.zrange(queue.toKey(name), '0', '-1')),
  )
  return new Set((await Promise.all([...lists, ...sets])).flat())
}

/** For a pattern of Redis. */
function literally(text: string): string {
  return text.replace(/[\\*?[\]]/g, '\\$&')
}
