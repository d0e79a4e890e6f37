/**
 * Jobs that BullMQ cannot read or cannot end: their hash was written by hand, cut short, or is not a hash. BullMQ takes
 * such a job, fails before our code runs, and leaves it active; when its lock has run out it is taken again, endlessly.
 * So a worker that receives an error looks for them in the lists from which BullMQ takes jobs, and removes them from
 * the queue.
 */
import type { Queue } from 'bullmq'
import type { Redis } from 'ioredis'

export interface BrokenJob {
  readonly jobId: string
  /** One sentence without anything of the job's own text. */
  readonly reason: string
}

/** Jobs of each list that one look reads: far more than workers take at once. */
const MOST = 1_000

/** The queue's own keys that hold the ids of jobs: none is a hash. */
const LISTS = ['wait', 'active', 'paused', 'stalled', 'prioritized', 'delayed', 'completed', 'failed'] as const

const DELETE_HASHES = `
for _, key in ipairs(KEYS) do
  if redis.call('TYPE', key).ok == 'hash' then redis.call('DEL', key) end
end
return 1`

/** Fields that BullMQ's scripts calculate with. Times may have a fraction: BullMQ keeps those that it is given. */
const TIMES = ['delay', 'timestamp'] as const
const COUNTS = ['ats', 'atm', 'attemptsMade', 'stc', 'priority'] as const
const TIME = /^(-?\d{1,15}(\.\d{1,30})?(e-\d{1,3})?)?$/
const COUNT = /^(-?\d{1,15})?$/
/** Fields of flows and schedules, which these queues do not use: they would name other jobs and other queues. */
const FOREIGN = ['rjk', 'parent', 'parentKey'] as const

/** The broken jobs among those that are active, stalled, or next in turn. @throws errors of Redis */
export async function findBrokenJobs(queue: Queue, redis: Redis): Promise<readonly BrokenJob[]> {
  const { keys } = queue
  const key = (name: string): string => keys[name] ?? queue.toKey(name)
  const listed = async (name: string, ids: (list: string) => Promise<string[]>): Promise<string[]> => {
    try {
      return await ids(key(name))
    } catch (error) {
      if (!isWrongType(error)) throw error
      await freeListKeys(queue, redis)
      return []
    }
  }
  const lists = await Promise.all([
    listed('active', (list) => redis.lrange(list, 0, MOST - 1)),
    listed('wait', (list) => redis.lrange(list, -MOST, -1)),
    listed('paused', (list) => redis.lrange(list, -MOST, -1)),
    listed('stalled', (list) => redis.smembers(list)),
    listed('prioritized', (list) => redis.zrange(list, '0', String(MOST - 1))),
    listed('delayed', (list) => redis.zrange(list, '0', String(MOST - 1))),
  ])
  const found = await Promise.all([...new Set(lists.flat())].map((jobId) => examineJob(queue, redis, jobId)))
  return found.filter((job) => job !== undefined)
}

/**
 * Removes the hashes that stand where a list or a set of the queue must be: BullMQ made each of a job whose id is that
 * name, and can no longer add to the list. In one step, so that no list that came back meanwhile is removed.
 * @throws errors of Redis
 */
export async function freeListKeys(queue: Queue, redis: Redis): Promise<void> {
  const lists = LISTS.map((name) => queue.toKey(name))
  await redis.eval(DELETE_HASHES, lists.length, ...lists)
}

/** The fault of one job; undefined: none that would keep BullMQ from handing it over and ending it. */
export async function examineJob(queue: Queue, redis: Redis, jobId: string): Promise<BrokenJob | undefined> {
  const broken = (reason: string): BrokenJob => ({ jobId, reason })
  const key = queue.toKey(jobId)
  const type = await redis.type(key)
  if (isOwnKey(queue, jobId)) return broken('its id is the name of a key of the queue itself')
  // A missing hash is harmless: BullMQ makes an empty one, whose data is then refused like any other.
  if (type === 'none') return undefined
  if (type !== 'hash') return broken(`its key holds a ${type} where a hash must be`)
  const numbers = await redis.hmget(key, ...TIMES, ...COUNTS)
  const wrong = [...TIMES, ...COUNTS].filter(
    (_, place) => !(place < TIMES.length ? TIME : COUNT).test(numbers[place] ?? ''),
  )
  if (wrong.length > 0)
    return broken(`${wrong.join(', ')} ${wrong.length === 1 ? 'is no usable number' : 'are no usable numbers'}`)
  const foreign = await redis.hmget(key, ...FOREIGN)
  if (foreign.some((value) => value !== null)) return broken('it is part of a flow or a schedule')
  return decodes(queue, jobId, broken)
}

async function decodes(
  queue: Queue,
  jobId: string,
  broken: (reason: string) => BrokenJob,
): Promise<BrokenJob | undefined> {
  try {
    const job = await queue.getJob(jobId)
    if (job === undefined) return undefined
    return isSound(job.opts) ? undefined : broken('its options are not those of a job')
  } catch (error) {
    if (isDecodeError(error)) return broken('its data, options or progress are not JSON, or not of the right shape')
    throw error
  }
}

/** Options from which BullMQ's scripts calculate when a job ends. */
function isSound(opts: unknown): boolean {
  if (typeof opts !== 'object' || opts === null || Array.isArray(opts)) return false
  const { attempts, removeOnComplete, removeOnFail } = opts as Record<string, unknown>
  return isCount(attempts) && isRemoval(removeOnComplete) && isRemoval(removeOnFail)
}

function isCount(value: unknown): boolean {
  return value === undefined || (typeof value === 'number' && Number.isSafeInteger(value))
}

function isRemoval(value: unknown): boolean {
  if (value === undefined || typeof value === 'boolean' || isCount(value)) return true
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
  return Object.values(value).every(isCount)
}

/** Whether BullMQ failed to read a job from Redis, rather than to reach Redis. */
export function isDecodeError(error: unknown): boolean {
  return error instanceof SyntaxError || error instanceof TypeError || isWrongType(error)
}

/** Whether a key has the wrong type. Redis 6 puts the script's name before the word. */
export function isWrongType(error: unknown): boolean {
  return error instanceof Error && /\bWRONGTYPE\b/.test(error.message)
}

/** Whether a job of that id would have one of the queue's own keys (`wait`, `meta`, …) as its hash, or one below it. */
export function isOwnKey(queue: Pick<Queue, 'keys'>, jobId: string): boolean {
  return Object.hasOwn(queue.keys, jobId.split(':', 1)[0] ?? '') && jobId !== ''
}

/**
 * Fields that BullMQ writes into a job's hash, and that may have been written by hand; none of them is a field of
 * `meta` itself.
 */
const JOB_FIELDS = [
  ...[
    'name',
    'data',
    'opts',
    'timestamp',
    'delay',
    'priority',
    'progress',
    'returnvalue',
    'failedReason',
    'stacktrace',
  ],
  ...['processedOn', 'finishedOn', 'pb', 'ats', 'atm', 'attemptsMade', 'stc', 'defa', 'deid', 'rjk', 'nrjid'],
  ...['parent', 'parentKey'],
] as const

/**
 * Removes a job from every list of its queue, and its keys from Redis. Repeating it is harmless. @throws errors of
 * Redis
 */
export async function removeBrokenJob(queue: Queue, redis: Redis, jobId: string): Promise<void> {
  const { keys } = queue
  const key = (name: string): string => keys[name] ?? queue.toKey(name)
  const own = queue.toKey(jobId)
  const transaction = redis.multi()
  const ofQueue = isOwnKey(queue, jobId)
  // Of the queue's own keys only `meta` is a hash: any other is one that BullMQ made of the job. It goes first, since it
  // may stand in the place of a list below.
  if (Object.hasOwn(keys, jobId) && jobId !== 'meta' && jobId !== '') transaction.eval(DELETE_HASHES, 1, own)
  for (const list of ['active', 'wait', 'paused']) transaction.lrem(key(list), 0, jobId)
  for (const set of ['prioritized', 'delayed', 'completed', 'failed']) transaction.zrem(key(set), jobId)
  transaction.srem(key('stalled'), jobId)
  if (!ofQueue) transaction.del(own, ...beside(own))
  else if (Object.hasOwn(keys, jobId)) {
    // Only the fields that BullMQ took for the job's; `de` has its own keys below it.
    if (jobId !== 'de') transaction.del(...beside(own))
    if (jobId === 'meta') transaction.hdel(own, ...JOB_FIELDS)
  }
  const answers = (await transaction.exec()) ?? []
  for (const [error] of answers) if (error !== null) throw error
}

function beside(key: string): readonly string[] {
  return ['lock', 'logs', 'dependencies', 'processed'].map((part) => `${key}:${part}`)
}
