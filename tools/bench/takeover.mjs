/**
 * `npm run bench -- takeover [--json] [--rounds 3] [--lease 20]`: how long a file waits after its worker is killed.
 *
 * Two real worker processes with default settings. One takes a file of 24 MiB and is killed by SIGKILL while its parts
 * are in flight (the S3 server that keeps nothing answers each after 5 s); the other is idle. Prints the times from the
 * kill until the other has claimed the file, and until the file is STORED, according to Postgres, polled every 20 ms.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { getFile } from '@sealfleet/records/files'
import { Refusal, runMain, say } from '../lib/say.mjs'
import { Closers, enqueue, makeSources, openWorld, startSink, startWorker } from './memory/world.mjs'

const LATENCY_MS = 5_000
const POLL_MS = 20
const MiB = 2 ** 20

/** @param {import('./memory/world.mjs').World} world @param {string} id */
async function fileOf({ records }, id) {
  const found = await getFile(records, id)
  if (found === undefined) throw new Error('the file is not in the records')
  return found.file
}

/** @param {() => Promise<boolean>} isSo */
async function until(isSo) {
  while (!(await isSo())) await delay(POLL_MS)
  return performance.now()
}

/** @param {Record<string, string>} lease */
async function round(lease) {
  const closers = new Closers()
  try {
    const world = await openWorld(closers)
    const sink = await startSink(closers, LATENCY_MS)
    const names = await makeSources(world, 1, 24 * MiB)
    const workers = await Promise.all([1, 2].map(() => startWorker(closers, world, { ...sink.env, ...lease })))
    for (const { ending } of workers) ending.catch(() => undefined) // one of them is killed
    const before = (await sink.report()).received
    const [id = ''] = await enqueue(world, names)
    await until(async () => (await sink.report()).received - before > MiB)
    const { lastAttemptNo: attempt, lease: held } = await fileOf(world, id)
    // A worker's name ends with its process and a random part.
    const victim = workers.find(({ pid }) => held?.owner.includes(`-${pid}-`))
    if (victim === undefined) throw new Refusal('the file was stored before its worker could be killed')
    process.kill(victim.pid, 'SIGKILL')
    const killed = performance.now()
    const claimed = await until(async () => (await fileOf(world, id)).lastAttemptNo > attempt)
    const stored = await until(async () => (await fileOf(world, id)).state === 'STORED')
    return { claimed: (claimed - killed) / 1000, stored: (stored - killed) / 1000 }
  } finally {
    await closers.close()
  }
}

/** @param {number[]} values */
const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0
/** @param {number} seconds */
const shown = (seconds) => `${seconds.toFixed(1)} s`

await runMain(async () => {
  const { values } = parseArgs({
    options: {
      json: { type: 'boolean', default: false },
      rounds: { type: 'string', default: '3' },
      lease: { type: 'string', default: '20' },
    },
  })
  const lease = {
    SEALFLEET_LEASE_SECONDS: values.lease,
    SEALFLEET_LEASE_RENEW_SECONDS: String(Number(values.lease) / 4),
  }
  const times = []
  for (let n = 1; n <= Number(values.rounds); n++) {
    const one = await round(lease)
    say(`round ${n}: claimed again after ${shown(one.claimed)}, stored after ${shown(one.stored)}`)
    times.push(one)
  }
  const claimed = times.map((one) => one.claimed)
  const stored = times.map((one) => one.stored)
  const report = {
    benchmark: 'takeover',
    lease_s: Number(values.lease),
    rounds: times.length,
    claimed_s: { median: median(claimed), longest: Math.max(...claimed) },
    stored_s: { median: median(stored), longest: Math.max(...stored) },
  }
  if (values.json) console.log(JSON.stringify(report, null, 2))
  else {
    console.log(`a worker killed at a file of 24 MiB, lease ${values.lease} s, ${times.length} rounds`)
    console.log(
      `  claimed again, median      ${shown(report.claimed_s.median)} (longest ${shown(report.claimed_s.longest)})`,
    )
    console.log(
      `  stored, median             ${shown(report.stored_s.median)} (longest ${shown(report.stored_s.longest)})`,
    )
  }
  return 0
})
