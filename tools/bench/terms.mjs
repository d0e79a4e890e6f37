/**
 * `npm run bench -- terms [--json] [--files 2000]`: what one small file asks of each service. The terms of
 * docs/PERFORMANCE.md.
 *
 * Files of 16 KiB are enqueued while no worker runs; then one real worker process (default settings) stores them on
 * radosgw. Both phases are counted by the services themselves:
 *
 * - Postgres: commits and rows by pg_stat_database, statements by its own log (log_statement), WAL by its position, sizes
 *   by pg_table_size, as they stand after the run and again after VACUUM FULL;
 * - Redis: calls by INFO commandstats (those of scripts included: a script is one `evalsha`), bytes over the network by
 *   INFO stats, memory by MEMORY USAGE of all keys of the queues;
 * - HSM: operations by the worker's own metrics, calls of C_Sign by the fault module of the tests, which does nothing
 *   else here;
 * - S3: requests and bytes of bodies by a proxy before radosgw.
 *
 * What an idle worker asks for is measured afterwards and taken off; it is printed by the second. Then the audit log is
 * chained, as maintenance does it: its rows are in the sizes, too. These are counts, which other work on the machine does
 * not change. Times are for other benchmarks: the log and the proxy take their share.
 */
import { open } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { Redis } from 'ioredis'
import pg from 'pg'
import { chainAudit } from '@sealfleet/audit'
import { Faulty, freshBucket, redisUrl, startFaultProxy } from '@sealfleet/testkit'
import { testHome } from '../lib/places.mjs'
import { logFile } from '../lib/process-service.mjs'
import { Refusal, runMain, say } from '../lib/say.mjs'
import { Closers, enqueue, openWorld, startWorker } from './memory/world.mjs'
import { makeSmallFiles, storeSettings } from './shared/small.mjs'

const USAGE = 'usage: npm run bench -- terms [--json] [--files 2000]'
const FILE_BYTES = 16 * 1024
/** A session of Postgres that is idle reports its counters within 10 s (PGSTAT_IDLE_INTERVAL of its source). */
const IDLE_MS = 12_000

/** @typedef {Record<string, number>} Counts by name */

function options() {
  try {
    const { values } = parseArgs({
      options: { json: { type: 'boolean', default: false }, files: { type: 'string', default: '2000' } },
    })
    const files = Number(values.files)
    if (!Number.isInteger(files) || files < 1) throw new Refusal(`--files is a number above 0\n${USAGE}`)
    return { json: values.json, files }
  } catch (error) {
    if (error instanceof TypeError) throw new Refusal(`${error.message}\n${USAGE}`)
    throw error
  }
}

/** The log of the private Postgres from here on. */
async function openLog() {
  const log = await open(logFile(testHome, 'postgres'), 'r')
  let { size: from } = await log.stat()
  return {
    /** The statements since the last look, by their first word. @returns {Promise<Counts>} */
    async statements() {
      const { size } = await log.stat()
      const { buffer, bytesRead } = await log.read(Buffer.alloc(Math.max(size - from, 1)), 0, size - from, from)
      from = size
      /** @type {Counts} */
      const counts = {}
      const texts = buffer.toString('utf8', 0, bytesRead)
      for (const [, word = ''] of texts.matchAll(/LOG: {2}(?:execute [^:]+|statement):\s+(\w+)/g)) {
        const name = `statements_${word.toLowerCase()}`
        counts[name] = (counts[name] ?? 0) + 1
      }
      return counts
    },
    close: () => log.close(),
  }
}

/** @param {pg.Client} client @param {string} database @returns {Promise<Counts>} */
async function postgresCounts(client, database) {
  const { rows } = await client.query(
    `SELECT xact_commit::float8 AS commits, xact_rollback::float8 AS rollbacks, tup_inserted::float8 AS rows_inserted,
       tup_updated::float8 AS rows_updated, tup_deleted::float8 AS rows_deleted,
       (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::float8 AS wal_bytes
     FROM pg_stat_database WHERE datname = $1`,
    [database],
  )
  return rows[0]
}

/** Bytes of the rows of each table, and of each index. @param {pg.Client} client @returns {Promise<Counts>} */
async function postgresSizes(client) {
  const { rows } = await client.query(
    `SELECT t.relname AS name, NULL AS of, pg_table_size(t.oid)::float8 AS bytes FROM pg_class t
     WHERE t.relkind = 'r' AND t.relnamespace = 'public'::regnamespace
     UNION ALL
     SELECT i.relname, t.relname, pg_table_size(i.oid)::float8 FROM pg_index x
     JOIN pg_class t ON t.oid = x.indrelid JOIN pg_class i ON i.oid = x.indexrelid
     WHERE t.relkind = 'r' AND t.relnamespace = 'public'::regnamespace
     ORDER BY 2 NULLS FIRST, 1`,
  )
  return Object.fromEntries(rows.map(({ name, of, bytes }) => [of === null ? name : `${of}: ${name}`, bytes]))
}

/** Bytes a file of all tables and indexes together. @param {Counts} sizes @param {number} files */
function sizesPerFile(sizes, files) {
  const all = Object.values(sizes).reduce((sum, bytes) => sum + bytes, 0)
  return divided({ all, ...sizes }, files)
}

/** @param {Redis} redis @returns {Promise<Counts>} */
async function redisCounts(redis) {
  const [stats, traffic] = await Promise.all([redis.info('commandstats'), redis.info('stats')])
  /** @type {Counts} */
  const counts = {}
  for (const [, name, calls] of stats.matchAll(/^cmdstat_([^:]+):calls=(\d+)/gm))
    counts[`calls_${name}`] = Number(calls)
  for (const [, way, bytes] of traffic.matchAll(/^total_net_(input|output)_bytes:(\d+)/gm))
    counts[`net_${way}_bytes`] = Number(bytes)
  return counts
}

/** Bytes of all keys below a prefix. @param {Redis} redis @param {string} prefix */
async function redisBytes(redis, prefix) {
  let bytes = 0
  for await (const keys of redis.scanStream({ match: `${prefix}:*`, count: 1000 })) {
    for (const key of keys) bytes += Number(await redis.call('MEMORY', 'USAGE', key, 'SAMPLES', '0'))
  }
  return bytes
}

/** Values of a metric of the worker by the labels that are asked for. @param {number} port @param {string} name */
async function metric(port, name) {
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()
  return text
    .split('\n')
    .filter((line) => line.startsWith(`${name}{`))
    .map((line) => ({ labels: line.slice(name.length), value: Number(line.slice(line.lastIndexOf(' ') + 1)) }))
}

/** @param {number} port @returns {Promise<Counts>} */
async function hsmOperations(port) {
  /** @type {Counts} */
  const counts = {}
  for (const { labels, value } of await metric(port, 'sealfleet_hsm_operations_total')) {
    const name = `operations_${/operation="([^"]+)"/.exec(labels)?.[1] ?? 'unknown'}`
    counts[name] = (counts[name] ?? 0) + value
  }
  return counts
}

/** @param {number} port */
async function storedBy(port) {
  const attempts = await metric(port, 'sealfleet_attempts_total')
  return attempts.filter(({ labels }) => labels.includes('outcome="stored"')).reduce((sum, { value }) => sum + value, 0)
}

/** @param {Counts} after @param {Counts} before @returns {Counts} */
function difference(after, before) {
  return Object.fromEntries(
    Object.entries(after)
      .map(([name, value]) => /** @type {const} */ ([name, value - (before[name] ?? 0)]))
      .filter(([, value]) => value !== 0),
  )
}

/** @param {Counts} counts @param {number} by */
const divided = (counts, by) => Object.fromEntries(Object.entries(counts).map(([name, value]) => [name, value / by]))

/** @param {{ files: number }} asked */
async function measure({ files }) {
  const closers = new Closers()
  try {
    const world = await openWorld(closers, ['radosgw'])
    const bucket = closers.own(await freshBucket('radosgw'))
    const proxy = closers.own(await startFaultProxy(bucket.endpoint))
    const { SEALFLEET_PKCS11_MODULE: module = '', SOFTHSM2_CONF: config = '' } = world.env
    const faulty = closers.own(await Faulty.over({ module, env: { SOFTHSM2_CONF: config } }))
    const redis = new Redis(redisUrl())
    closers.defer(() => redis.quit())
    const url = world.env['SEALFLEET_DATABASE_URL'] ?? ''
    const database = new URL(url).pathname.slice(1)
    // Its own statements are counted in another database.
    const client = new pg.Client({ connectionString: url })
    await client.connect()
    closers.defer(() => client.end())
    await client.query(`ALTER DATABASE ${pg.escapeIdentifier(database)} SET log_statement = 'all'`)
    const log = await openLog()
    closers.defer(() => log.close())
    const names = await makeSmallFiles(world, 'small', files, FILE_BYTES)

    /** @param {number | undefined} port of the worker */
    const counts = async (port) => {
      const store = proxy.seen.map(({ operation }) => operation)
      const requests = Object.fromEntries(
        [...new Set(store)].map((one) => [`requests_${one}`, store.filter((other) => other === one).length]),
      )
      const body = proxy.seen.reduce((sum, { headers }) => sum + Number(headers['content-length'] ?? 0), 0)
      return {
        at: performance.now(),
        postgres: { ...(await postgresCounts(client, database)), ...(await log.statements()) },
        redis: await redisCounts(redis),
        hsm: { calls_C_Sign: await faulty.calls('C_Sign'), ...(port !== undefined && (await hsmOperations(port))) },
        s3: { ...requests, body_bytes: body },
      }
    }
    /** @typedef {Awaited<ReturnType<typeof counts>>} Snapshot */
    // The log is read from the last look on, so its counts are differences already.
    const between = (/** @type {Snapshot} */ before, /** @type {Snapshot} */ after) => {
      const { postgres } = before
      const known = Object.fromEntries(Object.entries(postgres).filter(([name]) => !name.startsWith('statements_')))
      return {
        postgres: difference(after.postgres, known),
        redis: difference(after.redis, before.redis),
        hsm: difference(after.hsm, before.hsm),
        s3: difference(after.s3, before.s3),
      }
    }

    const emptySizes = await postgresSizes(client)
    await delay(IDLE_MS)
    const start = await counts(undefined)
    await enqueue(world, names)
    await delay(IDLE_MS)
    const enqueued = await counts(undefined)
    const waiting = await redisBytes(redis, world.prefix)
    say(`${files} files are enqueued`)
    const before = await counts(undefined)
    const worker = await startWorker(closers, world, {
      ...storeSettings({ ...bucket, endpoint: proxy.endpoint }),
      ...faulty.token.env,
      SEALFLEET_PKCS11_MODULE: faulty.token.module,
    })
    worker.ending.catch(() => undefined) // at the end it is stopped
    const stored = async () => {
      while ((await storedBy(worker.port)) < files) await delay(500)
    }
    await Promise.race([stored(), worker.ending])
    await delay(IDLE_MS)
    const after = await counts(worker.port)
    say('all are stored')
    await delay(2 * IDLE_MS)
    const idle = await counts(worker.port)
    const keptInRedis = await redisBytes(redis, world.prefix)
    const chaining = performance.now()
    const { rows: chained } = await chainAudit(world.records)
    const chainedPerSecond = (chained * 1000) / (performance.now() - chaining)
    const sizes = difference(await postgresSizes(client), emptySizes)
    await client.query('VACUUM FULL')
    const packed = difference(await postgresSizes(client), emptySizes)
    return { start, enqueued, before, after, idle, between, waiting, keptInRedis, chainedPerSecond, sizes, packed }
  } finally {
    await closers.close()
  }
}

/** @param {Counts} counts @param {Counts} perSecond @param {number} seconds */
function without(counts, perSecond, seconds) {
  return Object.fromEntries(
    Object.entries(counts).map(([name, value]) => [name, value - (perSecond[name] ?? 0) * seconds]),
  )
}

await runMain(async () => {
  const asked = options()
  const { start, enqueued, before, after, idle, between, ...bytes } = await measure(asked)
  const idleSeconds = (idle.at - after.at) / 1000
  const seconds = (after.at - before.at) / 1000
  const nothing = between(after, idle)
  const run = between(before, after)
  /** @typedef {keyof typeof run} Service */
  const services = /** @type {Service[]} */ (Object.keys(run))
  const idlePerSecond = Object.fromEntries(services.map((name) => [name, divided(nothing[name], idleSeconds)]))
  const perFile = Object.fromEntries(
    services.map((name) => [name, divided(without(run[name], idlePerSecond[name] ?? {}, seconds), asked.files)]),
  )
  const { postgres, redis } = between(start, enqueued)
  const report = {
    benchmark: 'terms',
    files: asked.files,
    file_bytes: FILE_BYTES,
    enqueue_per_file: { postgres: divided(postgres, asked.files), redis: divided(redis, asked.files) },
    ingest_per_file: perFile,
    idle_worker_per_second: idlePerSecond,
    redis_bytes_per_waiting_job: bytes.waiting / asked.files,
    redis_bytes_per_ended_job: bytes.keptInRedis / asked.files,
    audit_rows_chained_per_second: bytes.chainedPerSecond,
    postgres_bytes_per_file: sizesPerFile(bytes.sizes, asked.files),
    postgres_bytes_per_file_after_vacuum_full: sizesPerFile(bytes.packed, asked.files),
  }
  if (asked.json) console.log(JSON.stringify(report, null, 2))
  else print(report)
  return 0
})

/** @param {Record<string, unknown>} report @param {string} [indent] */
function print(report, indent = '') {
  for (const [name, value] of Object.entries(report)) {
    if (typeof value === 'object' && value !== null) {
      console.log(`${indent}${name}`)
      print(Object.fromEntries(Object.entries(value)), `${indent}  `)
    } else if (typeof value !== 'number') console.log(`${indent}${name} ${String(value)}`)
    else if (Math.abs(value) >= 0.005) console.log(`${indent}${name} ${Number(value.toFixed(2))}`)
  }
}
