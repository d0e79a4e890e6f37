/**
 * `npm run bench -- postgres [--json] [--files 500] [--size 16KiB] [--unnamed] [--plans MODE]`: the CPU time that a file
 * costs Postgres.
 *
 * The files are accepted and enqueued first. Then a real worker process with its default settings seals them into an S3
 * server that keeps nothing. The CPU time is that of the server and of all its processes, those that ended included
 * (/proc), from the worker's start until every file is STORED; one count every 500 ms is in it. `--unnamed` sends
 * statements without names, as behind a pooler in transaction mode. MODE is a value of Postgres's plan_cache_mode.
 */
import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import pg from 'pg'
import { Refusal, runMain, say } from '../lib/say.mjs'
import { childrenOf } from './memory/resident.mjs'
import { Closers, enqueue, makeSources, openWorld, startSink, startWorker } from './memory/world.mjs'

const USAGE = 'usage: npm run bench -- postgres [--json] [--files 500] [--size 16KiB] [--unnamed] [--plans MODE]'
const POLL_MS = 500
/** The unit of /proc: USER_HZ of proc(5), 100 on every architecture that Node is built for. */
const MS_PER_TICK = 10

/** @param {string} text */
function number(text) {
  const [, digits, unit = ''] = /^(\d+)(KiB|MiB)?$/.exec(text) ?? []
  if (digits === undefined || Number(digits) === 0) throw new Refusal(`${text} is not a number\n${USAGE}`)
  return Number(digits) * 1024 ** ['', 'KiB', 'MiB'].indexOf(unit)
}

function options() {
  try {
    const { values } = parseArgs({
      options: {
        json: { type: 'boolean', default: false },
        files: { type: 'string', default: '500' },
        size: { type: 'string', default: '16KiB' },
        unnamed: { type: 'boolean', default: false },
        plans: { type: 'string', default: 'auto' },
      },
    })
    return { ...values, files: number(values.files), size: number(values.size) }
  } catch (error) {
    if (error instanceof TypeError) throw new Refusal(`${error.message}\n${USAGE}`)
    throw error
  }
}

/** Fields 14 to 17 of proc(5)'s stat, in ticks: its own time, and that of its children that ended. @param {number} pid */
function ticksOf(pid) {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
  const [utime = 0, stime = 0, cutime = 0, cstime = 0] = stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .slice(11, 15)
    .map(Number)
  return { own: utime + stime, ended: cutime + cstime }
}

/** Milliseconds of CPU time of a server with all its processes. @param {number} postmaster */
function cpuOf(postmaster) {
  const server = ticksOf(postmaster)
  const children = childrenOf(postmaster).reduce((sum, pid) => sum + ticksOf(pid).own, 0)
  return (server.own + server.ended + children) * MS_PER_TICK
}

/** @param {pg.Client} client */
async function postmasterOf(client) {
  const { rows } = await client.query('SELECT pg_backend_pid() AS pid')
  const stat = readFileSync(`/proc/${rows[0].pid}/stat`, 'latin1')
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1])
}

/** @param {ReturnType<typeof options>} asked */
async function measure(asked) {
  const closers = new Closers()
  try {
    const world = await openWorld(closers)
    const sink = await startSink(closers, 0)
    const url = world.env['SEALFLEET_DATABASE_URL'] ?? ''
    const client = new pg.Client({ connectionString: url })
    await client.connect()
    closers.defer(() => client.end())
    const database = pg.escapeIdentifier(new URL(url).pathname.slice(1))
    await client.query(`ALTER DATABASE ${database} SET plan_cache_mode = ${pg.escapeLiteral(asked.plans)}`)
    const ids = await enqueue(world, await makeSources(world, asked.files, asked.size))
    const postmaster = await postmasterOf(client)
    const before = cpuOf(postmaster)
    const started = performance.now()
    const worker = await startWorker(closers, world, {
      ...sink.env,
      ...(asked.unnamed && { SEALFLEET_DATABASE_URL: `${url}?pgbouncer=true` }),
    })
    const stored = async () => {
      for (;;) {
        const { rows } = await client.query(`SELECT count(*)::int AS n FROM files WHERE state = 'STORED'`)
        if (rows[0].n === ids.length) return
        await delay(POLL_MS)
      }
    }
    await Promise.race([stored(), worker.ending])
    const seconds = (performance.now() - started) / 1000
    return { cpuMs: cpuOf(postmaster) - before, seconds }
  } finally {
    await closers.close()
  }
}

await runMain(async () => {
  const asked = options()
  const { cpuMs, seconds } = await measure(asked)
  const report = {
    benchmark: 'postgres',
    files: asked.files,
    file_bytes: asked.size,
    names: !asked.unnamed,
    plans: asked.plans,
    postgres_cpu_ms_per_file: Math.round((cpuMs / asked.files) * 100) / 100,
    seconds: Math.round(seconds * 10) / 10,
  }
  if (asked.json) console.log(JSON.stringify(report, null, 2))
  else
    say(
      `${asked.files} files in ${report.seconds} s: Postgres took ${report.postgres_cpu_ms_per_file} ms of CPU a file`,
    )
  return 0
})
