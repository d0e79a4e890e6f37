/**
 * `npm run bench -- ingest-small [--json] [--files 1000] [--size 16384] [--workers 1] [--rounds 5]`: many small files.
 *
 * Real worker processes with default settings on radosgw, Postgres and Redis. Each round enqueues the files in one batch
 * and waits until all are STORED. Prints files a second, and milliseconds of CPU a file by process: workers, HSM agents,
 * Postgres (the backends of this database), Redis. With --peer the same folder is copied by `rclone crypt` (8 transfers)
 * to the same radosgw, in turn with each round, and the ratio of both rates is printed; rclone must be installed.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { freshBucket, redisUrl } from '@sealfleet/testkit'
import { Refusal, runMain, say } from '../lib/say.mjs'
import { Closers, enqueue, openWorld, startWorker, untilStored } from './memory/world.mjs'
import { summary } from './summary.mjs'

/** Ticks of /proc/PID/stat a second. */
const TICKS = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }))

let counted = 0

/** @typedef {{ pid: number, parent: number, command: string, seconds: number }} Process */

/** @returns {Process[]} */
function processes() {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        const stat = readFileSync(`/proc/${name}/stat`, 'utf8')
        const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
        const command = readFileSync(`/proc/${name}/cmdline`, 'utf8')
        const seconds = (Number(fields[11]) + Number(fields[12])) / TICKS
        return [{ pid: Number(name), parent: Number(fields[1]), command, seconds }]
      } catch {
        return [] // it ended meanwhile
      }
    })
}

/**
 * Seconds of CPU so far, by kind of process.
 *
 * @param {readonly number[]} workers @param {string} database
 */
function cpu(workers, database) {
  const all = processes()
  const of = (/** @type {(one: Process) => boolean} */ wanted) =>
    all.filter(wanted).reduce((sum, { seconds }) => sum + seconds, 0)
  return {
    worker: of(({ pid }) => workers.includes(pid)),
    agents: of(({ parent }) => workers.includes(parent)),
    postgres: of(({ command }) => command.startsWith('postgres:') && command.includes(` ${database} `)),
    redis: of(({ command }) => command.includes(`redis-server 127.0.0.1:${new URL(redisUrl()).port}`)),
  }
}

await runMain(async () => {
  const { values } = parseArgs({
    options: {
      json: { type: 'boolean', default: false },
      files: { type: 'string', default: '1000' },
      size: { type: 'string', default: '16384' },
      workers: { type: 'string', default: '1' },
      rounds: { type: 'string', default: '5' },
      peer: { type: 'boolean', default: false },
    },
  })
  const [count, size, workerCount, rounds] = [values.files, values.size, values.workers, values.rounds].map(Number)
  if (!count || !size || !workerCount || !rounds)
    throw new Refusal('--files, --size, --workers and --rounds are numbers above 0')
  if (values.peer && spawnSync('rclone', ['version']).status !== 0)
    throw new Refusal('rclone is not installed: `apt-get install rclone`, or leave --peer out')
  const closers = new Closers()
  try {
    const world = await openWorld(closers, ['radosgw'])
    const bucket = closers.own(await freshBucket('radosgw'))
    const store = {
      SEALFLEET_S3_ENDPOINT: bucket.endpoint,
      SEALFLEET_S3_REGION: bucket.region,
      SEALFLEET_S3_BUCKET: bucket.bucket,
      SEALFLEET_S3_ACCESS_KEY_ID: bucket.accessKeyId,
      SEALFLEET_S3_SECRET_ACCESS_KEY: bucket.secretAccessKey,
    }
    const workers = []
    for (let n = 0; n < workerCount; n++) workers.push(await startWorker(closers, world, store))
    for (const { ending } of workers) ending.catch(() => undefined)
    const pids = workers.map(({ pid }) => pid)
    const database = new URL(world.env['SEALFLEET_DATABASE_URL'] ?? '').pathname.slice(1)
    /** @type {Record<string, number[]>} */
    const samples = {}
    const note = (/** @type {Record<string, number>} */ figures) => {
      for (const [name, figure] of Object.entries(figures)) (samples[name] ??= []).push(figure)
    }
    for (let round = 0; round <= rounds; round++) {
      const folder = `round-${round}`
      await mkdir(join(world.root, folder))
      const names = Array.from({ length: count }, (_, i) => `${folder}/${i}`)
      await Promise.all(names.map((name) => writeFile(join(world.root, name), randomBytes(size))))
      const peer = values.peer ? rclone(join(world.root, folder), bucket, round) : undefined
      const before = cpu(pids, database)
      const began = performance.now()
      const ids = await enqueue(world, names)
      const enqueued = performance.now()
      await untilStored(world, ids, AbortSignal.timeout(600_000))
      const seconds = (performance.now() - began) / 1000
      const after = cpu(pids, database)
      if (round === 0) continue // warms up
      const perFile = Object.fromEntries(
        Object.entries(after).map(([name, used]) => [
          `cpu_ms_per_file_${name}`,
          ((used - before[/** @type {keyof typeof before} */ (name)]) * 1000) / count,
        ]),
      )
      const rate = count / seconds
      note({ files_per_s: rate, enqueue_files_per_s: (count * 1000) / (enqueued - began), ...perFile })
      note({ cpu_ms_per_file: Object.values(perFile).reduce((sum, one) => sum + one, 0) })
      if (peer !== undefined) {
        note({ peer_files_per_s: count / peer.seconds, rate_ratio_to_rclone_crypt: (rate * peer.seconds) / count })
        note({ peer_cpu_ms_per_file: (peer.cpu * 1000) / count })
      }
      say(`round ${round} of ${rounds}: ${rate.toFixed(0)} files/s`)
    }
    const report = {
      benchmark: 'ingest-small',
      files: count,
      size_bytes: size,
      workers: workerCount,
      rounds,
      ...Object.fromEntries(Object.entries(samples).map(([name, figures]) => [name, summary(figures)])),
    }
    if (values.json) console.log(JSON.stringify(report, null, 2))
    else {
      console.log(`${count} files of ${size} bytes, ${workerCount} worker(s), ${rounds} rounds; median (least to most)`)
      for (const [name, figures] of Object.entries(samples)) {
        const { median, least, most } = summary(figures)
        console.log(`  ${name.padEnd(32)} ${median.toFixed(2)} (${least.toFixed(2)} to ${most.toFixed(2)})`)
      }
    }
    return 0
  } finally {
    await closers.close()
  }
})

/**
 * Copies a folder by `rclone crypt` with the transfers that rclone's own documentation suggests for small files.
 *
 * @param {string} folder
 * @param {{ endpoint: string, region: string, bucket: string, accessKeyId: string, secretAccessKey: string }} bucket
 * @param {number} round
 */
function rclone(folder, bucket, round) {
  const env = {
    PATH: process.env['PATH'],
    RCLONE_CONFIG: '/dev/null',
    RCLONE_CONFIG_S_TYPE: 's3',
    RCLONE_CONFIG_S_PROVIDER: 'Ceph',
    RCLONE_CONFIG_S_ENDPOINT: bucket.endpoint,
    RCLONE_CONFIG_S_REGION: bucket.region,
    RCLONE_CONFIG_S_ACCESS_KEY_ID: bucket.accessKeyId,
    RCLONE_CONFIG_S_SECRET_ACCESS_KEY: bucket.secretAccessKey,
    RCLONE_CONFIG_C_TYPE: 'crypt',
    RCLONE_CONFIG_C_REMOTE: `s:${bucket.bucket}/rclone-${round}`,
    RCLONE_CONFIG_C_PASSWORD: execFileSync('rclone', ['obscure', 'a-password-of-the-benchmark'], {
      encoding: 'utf8',
    }).trim(),
  }
  const began = performance.now()
  const { status, stderr } = spawnSync('rclone', ['copy', '--transfers', '8', '--s3-no-check-bucket', folder, 'c:'], {
    env,
    encoding: 'utf8',
  })
  if (status !== 0) throw new Refusal(`rclone failed (${status}): ${stderr}`)
  return { seconds: (performance.now() - began) / 1000, cpu: childSeconds() }
}

/** Seconds of CPU of the children of this process that ended since the last call. */
function childSeconds() {
  const stat = readFileSync('/proc/self/stat', 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const total = (Number(fields[13]) + Number(fields[14])) / TICKS
  const since = total - counted
  counted = total
  return since
}
