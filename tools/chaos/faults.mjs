/** The action of each kind of fault. Faults with the same target wait for each other; others overlap. */
import { rename } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { COMMIT_STATEMENT } from '@sealfleet/testkit'
import { Redis } from 'ioredis'
import pg from 'pg'
import { endProcess } from '../lib/processes.mjs'
import { need } from './world.mjs'

/** @typedef {import('./schedule.mjs').Fault} Fault */
/**
 * @typedef {object} Target
 * @property {import('./world.mjs').World} world
 * @property {import('./fleet.mjs').Fleet} fleet
 * @property {import('./producer.mjs').Producer} producer
 * @property {AbortSignal} over the faults are over: what lasts, ends
 * @property {(workerId: string) => void} onDeath told of every worker process that a fault killed
 */

/** Requests hit by an S3 fault: enough that retries of the SDK do not hide it. */
const REQUESTS = 3
/** Time that a kill at a step waits for a worker to reach it. */
const COMES_BY_MS = 15_000

/**
 * Carries a fault out, to its end. True when it hit, false when there was no target.
 *
 * @type {Record<string, (fault: Fault, target: Target) => Promise<boolean>>}
 */
export const FAULTS = {
  'kill at a step': async ({ worker, detail }, { fleet, onDeath, over }) => {
    const slot = fleet.workers[worker]
    const child = slot?.child
    if (!slot?.alive || !child?.connected) return false
    const { id } = slot
    child.send({ killAt: detail })
    const end = performance.now() + COMES_BY_MS
    while (child.signalCode === null && child.exitCode === null && performance.now() < end && !over.aborted)
      await delay(50)
    if (child.signalCode !== 'SIGKILL') return false
    onDeath(id)
    return true
  },
  'kill at any time': ({ worker }, { fleet, onDeath }) => {
    const slot = fleet.workers[worker]
    if (!slot?.alive) return Promise.resolve(false)
    onDeath(slot.id)
    slot.signal('SIGKILL')
    return Promise.resolve(true)
  },
  'stop past the lease': async ({ worker, forMs }, { fleet, over }) => {
    const slot = fleet.workers[worker]
    const child = slot?.child
    if (!slot?.alive) return false
    slot.signal('SIGSTOP')
    await until(over, forMs)
    child?.kill('SIGCONT')
    return true
  },
  'maintenance killed': (_fault, { fleet }) => {
    if (!fleet.maintenance.alive) return Promise.resolve(false)
    fleet.maintenance.signal('SIGKILL')
    return Promise.resolve(true)
  },
  'redis connections killed': (_fault, { world }) =>
    withRedis(world, (redis) => redis.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')),
  'redis restarted': ({ dice }, { world }) => restart(world, 'redis', dice < 0.5 ? 'SIGKILL' : 'SIGTERM'),
  'redis wiped': (_fault, { world }) => withRedis(world, (redis) => redis.flushall()),
  // SIGQUIT is Postgres's "immediate": it breaks off and recovers from its log.
  'postgres restarted': ({ dice }, { world }) => restart(world, 'postgres', dice < 0.5 ? 'SIGQUIT' : 'SIGINT'),
  'postgres connections killed': async (_fault, { world }) => {
    const client = new pg.Client({ connectionString: world.adminUrl })
    client.on('error', () => undefined)
    await client.connect()
    try {
      await client.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'sealfleet'`)
    } finally {
      await client.end()
    }
    return true
  },
  'commit whose answer is lost': async (_fault, { world, over }) => {
    const before = world.postgres.lost()
    world.postgres.loseAnswerOf(COMMIT_STATEMENT)
    const end = performance.now() + COMES_BY_MS
    while (world.postgres.lost() === before && performance.now() < end && !over.aborted) await delay(50)
    return world.postgres.lost() > before
  },
  's3 answers 500': async ({ detail }, target) =>
    inject(target, detail, { kind: 'status', status: 500, code: 'InternalError' }),
  's3 answers 503': async ({ detail }, target) =>
    inject(target, detail, { kind: 'status', status: 503, code: 'SlowDown' }),
  's3 resets connections': async ({ detail }, target) => inject(target, detail, { kind: 'reset' }),
  's3 acts and the answer is lost': async ({ detail }, target) => inject(target, detail, { kind: 'lose-answer' }, 1),
  's3 is slow': async ({ detail, forMs, dice }, target) =>
    inject(target, detail, { kind: 'delay', ms: 200 + Math.floor(dice * 1_000) }, Infinity, forMs),
  's3 is out of reach': async ({ detail, forMs }, target) => inject(target, detail, { kind: 'reset' }, Infinity, forMs),
  'hsm token gone and back': async ({ forMs }, { world, over }) => {
    const away = `${world.tokens}.away`
    await rename(world.tokens, away)
    await until(over, forMs)
    await rename(away, world.tokens)
    return true
  },
  'source changed': ({ dice }, { producer }) => producer.spoil(dice, (sources, one) => sources.change(one)),
  'source grown': ({ dice }, { producer }) => producer.spoil(dice, (sources, one) => sources.grow(one, 10_000)),
  'source shrunk': ({ dice }, { producer }) => producer.spoil(dice, (sources, one) => sources.shrink(one)),
  'source gone': ({ dice }, { producer }) => producer.spoil(dice, (sources, one) => sources.remove(one)),
  'hostile job': ({ detail, dice }, { producer }) => producer.hostile(detail, dice),
}

/** The target of a fault; faults with the same target take turns. @param {Fault} fault */
export function placeOf({ kind, worker }) {
  if (kind.startsWith('kill at') || kind.startsWith('stop')) return `worker ${worker}`
  return kind.split(' ')[0] ?? kind
}

/**
 * @param {Target} target
 * @param {string} operation
 * @param {import('@sealfleet/testkit').Fault} fault
 */
async function inject({ world, over }, operation, fault, times = REQUESTS, forMs = 0) {
  world.s3.inject(/** @type {import('@sealfleet/testkit').S3Operation} */ (operation), fault, { times })
  if (forMs > 0) {
    await until(over, forMs)
    world.s3.heal()
  }
  return true
}

/** @param {import('./world.mjs').World} world @param {(redis: Redis) => Promise<unknown>} act */
async function withRedis(world, act) {
  const redis = new Redis(need(world.env, 'SEALFLEET_REDIS_URL'), {
    maxRetriesPerRequest: 1,
    retryStrategy: () => null,
  })
  redis.on('error', () => undefined)
  try {
    await act(redis)
    return true
  } finally {
    redis.disconnect()
  }
}

/**
 * Ends a server in one of the ways it can end, and starts it again once it is gone: an earlier start would find it
 * running.
 *
 * @param {import('./world.mjs').World} world @param {string} name @param {NodeJS.Signals} signal
 */
async function restart(world, name, signal) {
  const identity = world.processOf(name)
  if (identity === undefined) return false
  await endProcess(identity, signal)
  await world.restart(name)
  return true
}

/** @param {AbortSignal} over @param {number} ms */
async function until(over, ms) {
  try {
    await delay(ms, undefined, { signal: over })
  } catch (error) {
    if (!over.aborted) throw error
  }
}
