/** What the benchmarks of one large file share: options, a world on radosgw, one worker, and the report. */
import { randomFillSync } from 'node:crypto'
import { link, mkdir, open } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { getFile } from '@sealfleet/records/files'
import { freshBucket } from '@sealfleet/testkit'
import { Refusal, say } from '../../lib/say.mjs'
import { Closers, enqueue, openWorld, startWorker } from '../memory/world.mjs'
import { summary } from '../summary.mjs'
import { requireRclone } from './rclone.mjs'

const MIB = 2 ** 20

/** @param {string} name of the benchmark */
function options(name) {
  const usage = `usage: npm run bench -- ${name} [--json] [--peer] [--size 1GiB] [--rounds 5]`
  try {
    const { values } = parseArgs({
      options: {
        json: { type: 'boolean', default: false },
        peer: { type: 'boolean', default: false },
        size: { type: 'string', default: '1GiB' },
        rounds: { type: 'string', default: '5' },
      },
    })
    const [, number, unit] = /^([1-9]\d*)(MiB|GiB)$/.exec(values.size) ?? []
    const rounds = Number(values.rounds)
    if (number === undefined || !Number.isSafeInteger(rounds) || rounds < 1) throw new Refusal(usage)
    return { json: values.json, peer: values.peer, size: Number(number) * (unit === 'GiB' ? 1024 : 1) * MIB, rounds }
  } catch (error) {
    throw error instanceof TypeError ? new Refusal(`${error.message}\n${usage}`) : error
  }
}

/** The file below the root; the peer copies its folder. */
const SOURCE = 'large/file'

/**
 * Random bytes: no store and no file system makes less of them.
 *
 * @param {string} path @param {number} size
 */
async function writeRandom(path, size) {
  const file = await open(path, 'w')
  try {
    const bytes = Buffer.allocUnsafe(MIB)
    for (let at = 0; at < size; at += MIB) await file.write(randomFillSync(bytes))
  } finally {
    await file.close()
  }
}

/** @typedef {{ seconds: number, cpu: number }} Measured seconds elapsed, and of CPU */
/** @typedef {{ ours: (round: number) => Measured | Promise<Measured>, peer: (round: number) => Measured }} Contestants */
/** @typedef {Awaited<ReturnType<typeof openLarge>>} Large */

/** @param {Closers} closers @param {number} size */
async function openLarge(closers, size) {
  const world = await openWorld(closers, ['radosgw'])
  const bucket = closers.own(await freshBucket('radosgw'))
  const store = {
    SEALFLEET_S3_ENDPOINT: bucket.endpoint,
    SEALFLEET_S3_REGION: bucket.region,
    SEALFLEET_S3_BUCKET: bucket.bucket,
    SEALFLEET_S3_ACCESS_KEY_ID: bucket.accessKeyId,
    SEALFLEET_S3_SECRET_ACCESS_KEY: bucket.secretAccessKey,
  }
  await mkdir(join(world.root, 'large'))
  await writeRandom(join(world.root, SOURCE), size)
  const worker = await startWorker(closers, world, store)
  worker.ending.catch(() => undefined)
  const database = new URL(world.env['SEALFLEET_DATABASE_URL'] ?? '').pathname.slice(1)
  return { world, bucket, store, folder: join(world.root, 'large'), worker: worker.pid, database }
}

/**
 * Stores the file once more, under another name: the same one would be the same file. Resolves with its id when it is
 * STORED.
 *
 * @param {Large} large @param {string | number} name
 */
export async function storeAs({ world }, name) {
  await link(join(world.root, SOURCE), join(world.root, `${name}`))
  const [id = ''] = await enqueue(world, [`${name}`])
  for (;;) {
    const state = (await getFile(world.records, id))?.file.state
    if (state === 'STORED') return id
    if (state !== 'QUEUED' && state !== 'RUNNING') throw new Refusal(`the file is ${state}, not STORED`)
    await delay(50)
  }
}

/**
 * Runs a benchmark and prints its report: medians of the rounds after one that warms up; ratios are taken within a round.
 *
 * @param {string} name
 * @param {(large: Large) => Contestants | Promise<Contestants>} prepare
 */
export async function runLarge(name, prepare) {
  const { json, peer: withPeer, size, rounds } = options(name)
  if (withPeer) requireRclone()
  const closers = new Closers()
  try {
    const contestants = await prepare(await openLarge(closers, size))
    const gib = size / 2 ** 30
    /** @type {Record<string, number[]>} */
    const samples = {}
    const note = (/** @type {Record<string, number>} */ figures) => {
      for (const [figure, value] of Object.entries(figures)) (samples[figure] ??= []).push(value)
    }
    for (let round = 0; round <= rounds; round++) {
      const peer = withPeer ? contestants.peer(round) : undefined
      const ours = await contestants.ours(round)
      say(`round ${round} of ${rounds}: ${ours.seconds.toFixed(2)} s, ${ours.cpu.toFixed(2)} s of CPU`)
      if (round === 0) continue
      note({ seconds_per_gib: ours.seconds / gib, cpu_seconds_per_gib: ours.cpu / gib })
      if (peer === undefined) continue
      note({ peer_seconds_per_gib: peer.seconds / gib, peer_cpu_seconds_per_gib: peer.cpu / gib })
      note({
        wall_ratio_to_rclone_crypt: ours.seconds / peer.seconds,
        cpu_ratio_to_rclone_crypt: ours.cpu / peer.cpu,
      })
    }
    const figures = Object.fromEntries(Object.entries(samples).map(([figure, values]) => [figure, summary(values)]))
    if (json) console.log(JSON.stringify({ benchmark: name, size_bytes: size, rounds, ...figures }, null, 2))
    else {
      console.log(`one file of ${size / MIB} MiB, ${rounds} rounds; median (least to most)`)
      for (const [figure, { median, least, most }] of Object.entries(figures))
        console.log(`  ${figure.padEnd(32)} ${median.toFixed(2)} (${least.toFixed(2)} to ${most.toFixed(2)})`)
    }
    return 0
  } finally {
    await closers.close()
  }
}
