/**
 * `npm run bench -- ingest-small [--json] [--files 1000] [--size 16384] [--workers 1] [--rounds 5] [--concurrency N]`:
 * many small files.
 *
 * Real worker processes with default settings (unless --concurrency changes one) on radosgw, Postgres and Redis. Each round enqueues the files in one batch
 * and waits until all are STORED. Prints files a second, and milliseconds of CPU a file by process: workers, HSM agents,
 * Postgres (the backends of this database), Redis. With --peer the same folder is copied by `rclone crypt` (8 transfers)
 * to the same radosgw, in turn with each round, and the ratio of both rates is printed; rclone must be installed.
 */
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { freshBucket } from '@sealfleet/testkit'
import { Refusal, runMain, say } from '../lib/say.mjs'
import { Closers, enqueue, openWorld, startWorker, untilStored } from './memory/world.mjs'
import { cpuOfFleet } from './shared/cpu.mjs'
import { requireRclone, rclone } from './shared/rclone.mjs'
import { makeSmallFiles, storeSettings } from './shared/small.mjs'
import { summary } from './summary.mjs'

await runMain(async () => {
  const { values } = parseArgs({
    options: {
      json: { type: 'boolean', default: false },
      files: { type: 'string', default: '1000' },
      size: { type: 'string', default: '16384' },
      workers: { type: 'string', default: '1' },
      rounds: { type: 'string', default: '5' },
      concurrency: { type: 'string' },
      peer: { type: 'boolean', default: false },
    },
  })
  const [count, size, workerCount, rounds] = [values.files, values.size, values.workers, values.rounds].map(Number)
  if (!count || !size || !workerCount || !rounds)
    throw new Refusal('--files, --size, --workers and --rounds are numbers above 0')
  if (values.peer) requireRclone()
  const closers = new Closers()
  try {
    const world = await openWorld(closers, ['radosgw'])
    const bucket = closers.own(await freshBucket('radosgw'))
    const store = {
      ...storeSettings(bucket),
      ...(values.concurrency !== undefined && { SEALFLEET_CONCURRENCY: values.concurrency }),
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
      const names = await makeSmallFiles(world, folder, count, size)
      // The transfers that rclone's own documentation suggests for small files.
      const copy = ['copy', '--transfers', '8', join(world.root, folder), 'c:']
      const peer = values.peer ? rclone(bucket, `rclone-${round}`, copy) : undefined
      const before = cpuOfFleet(pids, database)
      const began = performance.now()
      const ids = await enqueue(world, names)
      const enqueued = performance.now()
      await untilStored(world, ids, AbortSignal.timeout(600_000))
      const seconds = (performance.now() - began) / 1000
      const after = cpuOfFleet(pids, database)
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
