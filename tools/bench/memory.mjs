/**
 * `npm run bench -- memory [--json] [--files 8] [--size 6GiB] [--concurrency 8] [--part-size SIZE]
 * [--latency 0] [--seconds N]`: the memory of a worker that seals large files, without its agents.
 *
 * A real worker process with its default settings (except `--concurrency` and `--part-size`) seals sparse files into an
 * S3 server that discards everything, both on this machine. Its resident memory is read from /proc every 200 ms, from
 * the moment it is ready until the last file is STORED in Postgres. The sizes that the server received must match the
 * format's formula. With `--latency`, the server answers a part that many milliseconds after its last byte, so more
 * part buffers are held: the worst case of a distant store. `--seconds` ends the measurement early, for files that
 * would take hours.
 *
 * Exit status 1 when the memory is not below the limit at files up to 64 GiB, or a size is wrong.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { Refusal, runMain, say } from '../lib/say.mjs'
import { startSampling } from './memory/resident.mjs'
import {
  Closers,
  enqueue,
  makeSources,
  objectKeys,
  openWorld,
  startSink,
  startWorker,
  untilStored,
} from './memory/world.mjs'

const MiB = 2 ** 20
const GiB = 2 ** 30
const LIMIT = 400 * MiB
/** Files up to this size must fit under the limit. */
const LIMIT_HOLDS_TO = 64 * GiB
const SAMPLE_MS = 200
const USAGE =
  'usage: npm run bench -- memory [--json] [--files 8] [--size 6GiB] [--concurrency 8] [--part-size SIZE] [--latency MS] [--seconds N]'

/** @param {string} text */
function bytes(text) {
  const [, number, unit = 'B'] = /^(\d+)(B|KiB|MiB|GiB|TiB)?$/.exec(text) ?? []
  if (number === undefined) throw new Refusal(`${text} is not a size\n${USAGE}`)
  return Number(number) * 1024 ** ['B', 'KiB', 'MiB', 'GiB', 'TiB'].indexOf(unit)
}

/** @param {string} text */
function count(text) {
  const number = Number(text)
  if (!Number.isSafeInteger(number) || number < 1)
    throw new Refusal(`${text} is not a whole number from 1 on\n${USAGE}`)
  return number
}

function options() {
  try {
    const { values } = parseArgs({
      options: {
        json: { type: 'boolean', default: false },
        files: { type: 'string', default: '8' },
        size: { type: 'string', default: '6GiB' },
        concurrency: { type: 'string', default: '8' },
        'part-size': { type: 'string' },
        latency: { type: 'string', default: '0' },
        seconds: { type: 'string' },
      },
    })
    return {
      json: values.json,
      files: count(values.files),
      size: bytes(values.size),
      concurrency: count(values.concurrency),
      partSize: values['part-size'] === undefined ? undefined : bytes(values['part-size']),
      latency: values.latency === '0' ? 0 : count(values.latency),
      seconds: values.seconds === undefined ? undefined : count(values.seconds),
    }
  } catch (error) {
    if (error instanceof TypeError) throw new Refusal(`${error.message}\n${USAGE}`)
    throw error
  }
}

/** T of docs/design/format.md §4 for segments of 1 MiB, written out again: the worker must not be its own witness. @param {number} length */
const sealedLength = (length) => 416 + length + 32 * Math.max(1, Math.ceil(length / MiB))

/** @param {number} value */
const mib = (value) => Math.round((value / MiB) * 10) / 10

/** @param {ReturnType<typeof options>} asked @param {AbortSignal} signal */
async function measure(asked, signal) {
  const closers = new Closers()
  try {
    const world = await openWorld(closers)
    const sink = await startSink(closers, asked.latency)
    const names = await makeSources(world, asked.files, asked.size)
    const worker = await startWorker(closers, world, {
      ...sink.env,
      SEALFLEET_CONCURRENCY: String(asked.concurrency),
      ...(asked.partSize !== undefined && { SEALFLEET_S3_PART_SIZE: String(asked.partSize) }),
      // Killed, so that it does not finish hours of work when the measurement ends early.
      SEALFLEET_SHUTDOWN_GRACE_SECONDS: '0',
    })
    const before = (await sink.report()).received
    const sampling = startSampling(worker.pid, SAMPLE_MS)
    const start = performance.now()
    const ids = await enqueue(world, names)
    const watched = watch(sink, sampling, signal)
    const enough = asked.seconds === undefined ? undefined : AbortSignal.timeout(asked.seconds * 1000)
    const stop = enough ? AbortSignal.any([signal, enough]) : signal
    const stored = await Promise.race([untilStored(world, ids, stop), worker.ending]).then(
      () => true,
      (error) => {
        if (enough?.aborted) return false
        throw error
      },
    )
    const seconds = (performance.now() - start) / 1000
    const memory = sampling.stop()
    watched.abort()
    const keys = stored ? await objectKeys(world, ids) : undefined
    const report = await sink.report()
    return { keys, seconds, memory, sink: report, received: report.received - before }
  } finally {
    await closers.close()
  }
}

/**
 * A line of progress now and then.
 *
 * @param {Awaited<ReturnType<typeof startSink>>} sink
 * @param {ReturnType<typeof startSampling>} sampling
 * @param {AbortSignal} signal
 */
function watch(sink, sampling, signal) {
  const over = new AbortController()
  const loop = async () => {
    for (;;) {
      await delay(10_000, undefined, { signal: AbortSignal.any([over.signal, signal]) })
      const { received } = await sink.report()
      say(`${(received / GiB).toFixed(1)} GiB sealed; worker ${mib(sampling.latest())} MiB`)
    }
  }
  loop().catch((error) => {
    if (error.name !== 'AbortError') say(String(error))
  })
  return over
}

/** @param {ReturnType<typeof options>} asked @param {Awaited<ReturnType<typeof measure>>} result */
function summarise(asked, { keys, seconds, memory, sink, received }) {
  const lengths = new Map(sink.objects)
  const expected = sealedLength(asked.size)
  const wrong = (keys ?? []).filter((key) => lengths.get(key) !== expected)
  const most = Math.max(memory.max, memory.peak)
  return {
    benchmark: 'memory',
    files: asked.files,
    file_bytes: asked.size,
    concurrency: asked.concurrency,
    ...(asked.partSize !== undefined && { part_bytes: asked.partSize }),
    latency_ms: asked.latency,
    finished: keys !== undefined,
    worker_mib: { idle: mib(memory.idle), median: mib(memory.median), max: mib(memory.max), peak: mib(memory.peak) },
    agents_mib: mib(memory.agentsMax),
    agents: memory.agents,
    samples: memory.samples,
    limit_mib: mib(LIMIT),
    under_limit: most < LIMIT,
    uploads_at_once: sink.uploadsAtOnce,
    parts_at_once: sink.partsAtOnce,
    sealed_bytes: received,
    object_bytes: expected,
    objects_of_right_size: (keys?.length ?? 0) - wrong.length,
    seconds: Math.round(seconds * 10) / 10,
    gib_per_s: Math.round((received / GiB / seconds) * 1000) / 1000,
  }
}

/** @param {ReturnType<typeof summarise>} report */
function print(report) {
  const { worker_mib: worker } = report
  /** @param {string} name @param {string} value */
  const line = (name, value) => console.log(`  ${name.padEnd(28)}${value}`)
  console.log(
    `a worker at concurrency ${report.concurrency}, ${report.files} files of ${report.file_bytes / GiB} GiB, ` +
      (report.finished ? 'all stored' : 'stopped before the end'),
  )
  line(
    'resident, most',
    `${Math.max(worker.max, worker.peak)} MiB: ${report.under_limit ? 'below' : 'NOT below'} ${report.limit_mib}`,
  )
  line('resident, median', `${worker.median} MiB (${report.samples} samples; ${worker.idle} before the first file)`)
  line('its agents', `${report.agents_mib} MiB (${report.agents} processes together)`)
  line('uploads at once, most', `${report.uploads_at_once}`)
  line('sealed', `${report.sealed_bytes} bytes in ${report.seconds} s: ${report.gib_per_s} GiB/s`)
  if (report.finished) line('objects of the right size', `${report.objects_of_right_size} of ${report.files}`)
}

await runMain(async () => {
  const asked = options()
  const interrupted = new AbortController()
  for (const name of /** @type {const} */ (['SIGINT', 'SIGTERM'])) {
    process.once(name, () => interrupted.abort(new Refusal(`stopped by ${name}`)))
  }
  const report = summarise(asked, await measure(asked, interrupted.signal))
  if (asked.json) console.log(JSON.stringify(report, null, 2))
  else print(report)
  const sizesAreRight = !report.finished || report.objects_of_right_size === report.files
  return sizesAreRight && (report.under_limit || report.file_bytes > LIMIT_HOLDS_TO) ? 0 : 1
})
