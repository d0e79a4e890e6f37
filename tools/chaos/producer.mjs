/**
 * Upstream: enqueues files of mixed sizes all the time, repeats requests until they are accepted, and makes upstream's
 * mistakes.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { enqueueIngest, openIngestClient } from '@sealfleet/queue'
import { openRecords } from '@sealfleet/records'
import { acceptFiles } from '@sealfleet/records/files'
import { Queue } from 'bullmq'
import { Redis } from 'ioredis'
import pg from 'pg'
import { createRandom } from './random.mjs'
import { Sources } from './sources.mjs'
import { DOMAINS, need } from './world.mjs'

const KIB = 1024
const MIB = KIB * KIB

/** Most files are small, some have many segments, a few are uploaded in parts. @param {import('./random.mjs').Random} random */
function sizeOf(random) {
  const dice = random.next()
  if (dice < 0.04) return 0
  if (dice < 0.6) return random.between(1, 64 * KIB)
  if (dice < 0.94) return random.between(64 * KIB, 800 * KIB)
  if (dice < 0.98) return random.between(2 * MIB, 5 * MIB)
  return random.between(6 * MIB, 16 * MIB)
}

/** @param {import('./random.mjs').Random} random */
function uuidOf(random) {
  const hex = Array.from({ length: 32 }, () => random.between(0, 15).toString(16)).join('')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20)}`
}

/** @typedef {import('./sources.mjs').Source} Source */

/**
 * @param {{ world: import('./world.mjs').World, seed: string, everyMs: number }} options
 */
export function startProducer({ world, seed, everyMs }) {
  const random = createRandom(`files ${seed}`)
  const sources = new Sources(world.root)
  const stop = new AbortController()
  /** Files that were requested and are not known to be accepted. @type {Set<string>} */
  const open = new Set()
  let refused = 0
  let lastRefusal = ''
  /**
   * Actions for the next sources.
   * @type {{ early: boolean, afterMs: number, carryOut: (one: Source) => Promise<void> }[]}
   */
  const planned = []
  /** Dead letters that hostile jobs must leave. */
  let hostile = 0

  const run = async () => {
    while (!stop.signal.aborted) {
      const mischief = planned.shift()
      // A large file is read for long enough that the action meets its reader.
      const size = mischief === undefined ? sizeOf(random) : random.between(6 * MIB, 12 * MIB)
      const source = await sources.make({ fileId: uuidOf(random), domain: random.pick(DOMAINS).id, size })
      open.add(source.fileId)
      if (mischief?.early === true) await mischief.carryOut(source)
      await ask()
      if (mischief?.early === false) {
        await delay(mischief.afterMs)
        await mischief.carryOut(source)
      }
      await delay(random.between(0, everyMs * 2), undefined, { signal: stop.signal }).catch((error) => {
        if (!stop.signal.aborted) throw error
      })
    }
    while (open.size > 0) {
      await ask()
      if (open.size > 0) await delay(200)
    }
  }

  /** Requests all open files, as a producer does after a failed try. */
  const ask = async () => {
    /** @type {import('@sealfleet/records').Records | undefined} */
    let connection
    let client
    try {
      connection = await openRecords(need(world.env, 'SEALFLEET_DATABASE_URL'), {
        poolSize: 1,
        connectTimeoutMs: 2_000,
      })
      const db = connection
      client = await openIngestClient({
        redisUrl: need(world.env, 'SEALFLEET_REDIS_URL'),
        connectTimeoutMs: 1_000,
        commandTimeoutMs: 2_000,
        accept: (files) => acceptFiles(db, files),
      })
      const asked = [...open].map((fileId) => sources.all.get(fileId)).filter((one) => one !== undefined)
      const requests = asked.map(({ fileId, domain, path }) => ({ id: fileId, domain, root: 'in', path }))
      // Half of the requests use the queue, the other half a transaction of the producer's own.
      const direct = requests.filter(({ id }) => parseInt(id.slice(0, 1), 16) % 2 === 0)
      const results = await client.client.enqueueMany(direct)
      accepted(results)
      const within = requests.filter(({ id }) => !direct.some((one) => one.id === id))
      if (within.length > 0) accepted(await inTransaction(within))
    } catch (error) {
      // Not reachable, in whatever words the driver has for it: the next round tries again. `finish` reports one that
      // never ends.
      lastRefusal = String(error)
      refused++
    } finally {
      await client?.close()
      await connection?.close()
    }
  }

  /** @param {readonly import('@sealfleet/queue').EnqueueResult[]} results */
  const accepted = (results) => {
    for (const { fileId, error } of results) if (fileId !== undefined && error === undefined) open.delete(fileId)
  }

  /** @param {import('@sealfleet/queue').IngestRequest[]} requests */
  const inTransaction = async (requests) => {
    const tx = new pg.Client({
      connectionString: need(world.env, 'SEALFLEET_DATABASE_URL'),
      connectionTimeoutMillis: 2_000,
    })
    tx.on('error', () => undefined)
    await tx.connect()
    try {
      await tx.query('BEGIN')
      const results = await enqueueIngest(tx, requests)
      await tx.query('COMMIT')
      return results
    } finally {
      await tx.end()
    }
  }

  const running = run()
  return {
    sources,
    refused: () => refused,
    lastRefusal: () => lastRefusal,
    hostileLetters: () => hostile,
    /**
     * Applies an action to the next source: before it is enqueued, or while it may be read.
     *
     * @param {number} dice
     * @param {(sources: Sources, one: Source) => Promise<boolean>} act
     * @returns {Promise<boolean>} when it is done
     */
    spoil: (dice, act) =>
      new Promise((resolve, reject) => {
        const carryOut = (/** @type {Source} */ one) => act(sources, one).then(resolve, reject)
        planned.push({ early: dice < 0.3, afterMs: Math.floor(dice * 120), carryOut })
      }),
    /** A job straight into Redis, as a broken or hostile upstream writes it. @param {string} what @param {number} dice */
    hostile: async (what, dice) => {
      // Of accepted files only: the first request for an id owns it.
      const all = [...sources.all.values()].filter(({ fileId }) => !open.has(fileId))
      const victim = all[Math.floor(dice * all.length)]
      if (victim === undefined) return false
      const redis = new Redis(need(world.env, 'SEALFLEET_REDIS_URL'), {
        maxRetriesPerRequest: 1,
        retryStrategy: () => null,
      })
      redis.on('error', () => undefined)
      const queue = new Queue('ingest', { connection: redis, prefix: '{sealfleet}' })
      queue.on('error', () => undefined)
      try {
        const job = {
          v: 1,
          fileId: victim.fileId,
          domain: victim.domain,
          source: { root: 'in', path: victim.path },
          generation: 1,
        }
        const data = {
          'not json of ours': { hello: 'world' },
          'a path that climbs': { ...job, fileId: uuidOf(random), source: { root: 'in', path: '../../etc/passwd' } },
          'an id of another request': { ...job, source: { root: 'in', path: `other/${victim.path}` } },
        }[what]
        await queue.add('ingest', data, { jobId: `hostile-${hostile}` })
        hostile++
        return true
      } finally {
        await queue.close()
        redis.disconnect()
      }
    },
    /** Resolves when every request is accepted. */
    finish: async () => {
      stop.abort(new Error('no more files'))
      await running
    },
    running,
  }
}

/** @typedef {ReturnType<typeof startProducer>} Producer */
