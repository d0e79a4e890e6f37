/**
 * `npm run bench -- scale [--json] [--rows 100000] [--waiting 10000] [--dead 2000] [--files 400] [--size 16384]
 * [--rounds 5]`: whether a fleet that is full already takes small files as fast as an empty one, and what a second worker
 * adds.
 *
 * Three fleets on the same radosgw, Postgres and Redis, each with a database and a queue of its own: an empty one and a
 * full one with one worker each, and an empty one with two. The full one has `--rows` stored files with an attempt each
 * and `--dead` dead ones with open letters (made by SQL), and `--waiting` jobs that its worker takes from. In each round
 * each fleet in turn is let loose on `--files` files, while the others are paused. Time counts until that number
 * of jobs has left the queue, but for the last few, which an empty queue would end one by one. Ratios are taken within a
 * round; the first one warms up.
 */
import { link, mkdir, writeFile } from 'node:fs/promises'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import pg from 'pg'
import { openIngestClient } from '@sealfleet/queue'
import { acceptFiles } from '@sealfleet/records/files'
import { freshBucket, redisUrl } from '@sealfleet/testkit'
import { Refusal, runMain, say } from '../lib/say.mjs'
import { Closers, openWorld, startWorker } from './memory/world.mjs'
import { fillRegister } from './shared/register.mjs'
import { storeSettings } from './shared/small.mjs'
import { summary } from './summary.mjs'

/** Jobs at the end of a round that are not waited for: more than two workers have under way. */
const LAST = 32
/** Milliseconds between two looks at the length of the queue, which costs Redis the same however long it is. */
const LOOK_MS = 20
/** Names of one file; file systems allow some 65,000. */
const LINKS = 10_000

function options() {
  const { values } = parseArgs({
    options: {
      json: { type: 'boolean', default: false },
      rows: { type: 'string', default: '100000' },
      waiting: { type: 'string', default: '10000' },
      dead: { type: 'string', default: '2000' },
      files: { type: 'string', default: '400' },
      size: { type: 'string', default: '16384' },
      rounds: { type: 'string', default: '5' },
    },
  })
  const number = (/** @type {string} */ text) => {
    const value = Number(text)
    if (!Number.isSafeInteger(value) || value < 1) throw new Refusal(`${text} is not a number above 0`)
    return value
  }
  const asked = {
    rows: number(values.rows),
    waiting: number(values.waiting),
    dead: number(values.dead),
    files: number(values.files),
    size: number(values.size),
    rounds: number(values.rounds),
  }
  if (asked.files <= 2 * LAST) throw new Refusal(`--files is more than ${2 * LAST}`)
  if (asked.waiting <= asked.files * (asked.rounds + 1)) throw new Refusal('--waiting is less than all rounds take')
  return { json: values.json, ...asked }
}

/**
 * Names of random files, many names for one: only the worker's part is measured, which reads each name.
 *
 * @param {string} root @param {string} folder @param {number} count @param {number} size
 */
async function makeNames(root, folder, count, size) {
  await mkdir(join(root, folder))
  const names = Array.from({ length: count }, (_, n) => `${folder}/${n}`)
  for (const [n, name] of names.entries()) {
    if (n % LINKS === 0) await writeFile(join(root, name), randomBytes(size))
    else await link(join(root, `${folder}/${n - (n % LINKS)}`), join(root, name))
  }
  return names
}

/** A fleet whose queue is paused. @param {Closers} closers @param {number} workers */
async function openFleet(closers, workers) {
  const world = await openWorld(closers, ['radosgw'])
  const bucket = closers.own(await freshBucket('radosgw'))
  const ingest = closers.own(
    await openIngestClient({
      redisUrl: redisUrl(),
      prefix: world.prefix,
      accept: (asked) => acceptFiles(world.records, asked),
    }),
  )
  closers.defer(() => ingest.queue.obliterate({ force: true }))
  await ingest.queue.pause()
  for (let n = 0; n < workers; n++) {
    const { ending } = await startWorker(closers, world, storeSettings(bucket))
    ending.catch(() => undefined)
  }
  const left = async () => {
    // A queue that is paused keeps its jobs waiting.
    const { waiting = 0, active = 0 } = await ingest.queue.getJobCounts('waiting', 'active')
    return waiting + active
  }
  let folders = 0
  return {
    world,
    /** Adds files to the queue. @param {number} count @param {number} size */
    add: async (count, size) => {
      const names = await makeNames(world.root, `files-${folders++}`, count, size)
      const results = await ingest.client.enqueueMany(names.map((path) => ({ root: 'in', path })))
      const refused = results.find(({ outcome }) => outcome !== 'queued')
      if (refused !== undefined) throw new Refusal(`a file is ${refused.outcome}`)
    },
    /** Seconds in which this number of jobs leaves the queue. @param {number} count */
    take: async (count) => {
      const goal = (await left()) - count
      const began = performance.now()
      await ingest.queue.resume()
      while ((await left()) > goal) await delay(LOOK_MS)
      const seconds = (performance.now() - began) / 1000
      await ingest.queue.pause()
      return seconds
    },
    /** Waits until no job is under way. */
    quiet: async () => {
      while ((await ingest.queue.getActiveCount()) > 0) await delay(LOOK_MS)
    },
  }
}

/** @param {import('./memory/world.mjs').World} world */
async function connect({ env }) {
  const client = new pg.Client({ connectionString: env['SEALFLEET_DATABASE_URL'] })
  await client.connect()
  return client
}

/** A failure would be a file that takes less, or more. @param {World} world @param {number} dead before this */
async function assertNoneFailed(world, dead) {
  const client = await connect(world)
  const { rows } = await client.query(`SELECT count(*)::int AS n FROM files WHERE last_failure_code IS NOT NULL`)
  await client.end()
  if (rows[0].n !== dead) throw new Refusal(`${rows[0].n - dead} files failed`)
}

/** @typedef {import('./memory/world.mjs').World} World */

await runMain(async () => {
  const { json, ...asked } = options()
  const { rows, waiting, dead, files, size, rounds } = asked
  const closers = new Closers()
  try {
    const empty = await openFleet(closers, 1)
    const full = await openFleet(closers, 1)
    const two = await openFleet(closers, 2)
    say(`filling: ${rows} stored files, ${dead} dead ones, ${waiting} waiting jobs`)
    const client = await connect(full.world)
    await fillRegister(client, { stored: rows, dead })
    await full.add(waiting, size)
    await client.query('VACUUM (ANALYZE) files')
    await client.end()
    /** @type {Record<string, number[]>} */
    const samples = {}
    const note = (/** @type {Record<string, number>} */ figures) => {
      for (const [name, figure] of Object.entries(figures)) (samples[name] ??= []).push(figure)
    }
    for (let round = 0; round <= rounds; round++) {
      /** @type {Record<string, number>} */
      const rates = {}
      for (const [name, fleet] of Object.entries({ empty, full, two })) {
        if (fleet !== full) await fleet.add(files, size)
        const count = files - LAST
        rates[name] = count / (await fleet.take(count))
        await fleet.quiet()
      }
      const { empty: one = NaN, full: filled = NaN, two: both = NaN } = rates
      say(`round ${round} of ${rounds}: ${one.toFixed(0)} empty, ${filled.toFixed(0)} full, ${both.toFixed(0)} by two`)
      if (round === 0) continue
      note({ empty_files_per_s: one, full_files_per_s: filled, two_workers_files_per_s: both })
      note({ ratio_full_to_empty: filled / one, ratio_two_workers_to_one: both / one })
    }
    for (const fleet of [empty, two]) await assertNoneFailed(fleet.world, 0)
    await assertNoneFailed(full.world, dead)
    const figures = Object.fromEntries(Object.entries(samples).map(([name, one]) => [name, summary(one)]))
    if (json) console.log(JSON.stringify({ benchmark: 'scale', ...asked, ...figures }, null, 2))
    else {
      console.log(`${files} files of ${size} bytes a round, ${rounds} rounds; median (least to most)`)
      for (const [name, { median, least, most }] of Object.entries(figures))
        console.log(`  ${name.padEnd(32)} ${median.toFixed(2)} (${least.toFixed(2)} to ${most.toFixed(2)})`)
    }
    return 0
  } finally {
    await closers.close()
  }
})
