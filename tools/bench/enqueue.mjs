/**
 * `npm run bench -- enqueue [--json] [--files 10000] [--wait-files 2500] [--rounds 5]`: how fast files are accepted, by
 *
 * - the client (`enqueueMany`): rows in Postgres and jobs in Redis;
 * - the SQL function, through `enqueueIngest` in one transaction of node-postgres: rows and the outbox;
 * - the command line on a folder: its start, the walk with the stats, rows and jobs (`cli_files_per_s`); and the same
 *   without the time of a command that enqueues one file (`cli_steady_files_per_s`).
 *
 * Beside the rates stands the CPU time of the client's and of the command's own process, in milliseconds a file.
 *
 * And what `enqueue --wait` costs: milliseconds of CPU of the command a file, less those of the same command without
 * --wait, at `--wait-files` files and at twice as many. The ratio of the two is 1 where the cost is linear. A consumer of
 * the real queue ends each file without sealing it (DISCARDED), since the command cannot tell and sealing would be most
 * of the time.
 *
 * One round warms up. Medians, least and most of the others.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { Worker } from 'bullmq'
import pg from 'pg'
import { createWorkerConnection, enqueueIngest, openIngestClient, QUEUES } from '@sealfleet/queue'
import { acceptFiles } from '@sealfleet/records/files'
import { redisUrl } from '@sealfleet/testkit'
import { checkout } from '../lib/places.mjs'
import { Refusal, runMain, say } from '../lib/say.mjs'
import { Closers, openWorld } from './memory/world.mjs'
import { cpuOfEndedChildren } from './shared/cpu.mjs'
import { summary } from './summary.mjs'

const COMMAND = join(checkout, 'apps', 'cli', 'bin', 'sealfleet.mjs')
/** Jobs that the consumer ends at once. */
const CONSUMERS = 16

/** @param {string} folder @param {number} count @returns {import('@sealfleet/queue').IngestRequest[]} */
const requestsOf = (folder, count) =>
  Array.from({ length: count }, (_, n) => ({ root: 'in', path: `${folder}/${n}.bin` }))

/** @param {readonly import('@sealfleet/queue').EnqueueResult[]} results */
function assertQueued(results) {
  const other = results.find(({ outcome }) => outcome !== 'queued')
  if (other !== undefined) throw new Refusal(`a file is ${other.outcome}`)
}

/** @param {import('./memory/world.mjs').World} world @param {string} folder @param {number} count */
async function makeFiles({ root }, folder, count) {
  await mkdir(join(root, folder))
  for (let n = 0; n < count; n++) await writeFile(join(root, folder, `${n}.bin`), '')
}

/**
 * Runs the command to its end.
 *
 * @param {import('./memory/world.mjs').World} world @param {string[]} args @param {readonly number[]} statuses allowed
 */
async function command({ root, env }, args, statuses = [0]) {
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('SEALFLEET_'))
  const before = cpuOfEndedChildren()
  const began = performance.now()
  const child = spawn(process.execPath, [COMMAND, ...args], {
    cwd: root,
    env: { ...Object.fromEntries(inherited), ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let said = ''
  child.stderr.setEncoding('utf8').on('data', (text) => (said += text))
  const [status] = await once(child, 'close')
  if (!statuses.includes(status)) throw new Refusal(`sealfleet ${args.join(' ')} ended with ${status}: ${said}`)
  return { seconds: (performance.now() - began) / 1000, cpu: cpuOfEndedChildren() - before }
}

/** Ends jobs as a worker would, without sealing. @param {import('./memory/world.mjs').World} world @param {pg.Pool} sql */
function startConsumer({ prefix }, sql) {
  const connection = createWorkerConnection(redisUrl())
  const end = async (/** @type {{ data: { fileId: string } }} */ { data }) => {
    await sql.query(`UPDATE files SET state = 'DISCARDED' WHERE id = $1 AND state = 'QUEUED'`, [data.fileId])
  }
  const worker = new Worker(QUEUES.ingest, end, { connection, prefix, concurrency: CONSUMERS })
  return async () => {
    await worker.close()
    connection.disconnect()
  }
}

await runMain(async () => {
  const { values } = parseArgs({
    options: {
      json: { type: 'boolean', default: false },
      files: { type: 'string', default: '10000' },
      'wait-files': { type: 'string', default: '2500' },
      rounds: { type: 'string', default: '5' },
    },
  })
  const [files, waitFiles, rounds] = [values.files, values['wait-files'], values.rounds].map(Number)
  if (!files || !waitFiles || !rounds) throw new Refusal('--files, --wait-files and --rounds are numbers above 0')
  const closers = new Closers()
  try {
    const world = await openWorld(closers)
    const { records, prefix } = world
    const sql = new pg.Pool({ connectionString: world.env['SEALFLEET_DATABASE_URL'], max: CONSUMERS })
    sql.on('error', () => undefined)
    closers.defer(() => sql.end())
    const ingest = closers.own(
      await openIngestClient({ redisUrl: redisUrl(), prefix, accept: (asked) => acceptFiles(records, asked) }),
    )
    const empty = () => ingest.queue.obliterate({ force: true })
    closers.defer(empty)

    const byClient = async (/** @type {string} */ folder) => {
      const requests = requestsOf(folder, files)
      const used = process.cpuUsage()
      const began = performance.now()
      assertQueued(await ingest.client.enqueueMany(requests))
      const rate = (files * 1000) / (performance.now() - began)
      const { user, system } = process.cpuUsage(used)
      return { rate, cpu: (user + system) / 1000 / files }
    }
    const bySql = async (/** @type {string} */ folder) => {
      const requests = requestsOf(folder, files)
      const client = await sql.connect()
      try {
        const began = performance.now()
        await client.query('BEGIN')
        const results = await enqueueIngest(client, requests)
        await client.query('COMMIT')
        const seconds = (performance.now() - began) / 1000
        assertQueued(results)
        return files / seconds
      } finally {
        client.release()
      }
    }
    const byCommand = async (/** @type {string} */ folder) => {
      await makeFiles(world, folder, files)
      await makeFiles(world, `${folder}-one`, 1)
      const one = await command(world, ['enqueue', `${folder}-one`])
      const all = await command(world, ['enqueue', folder])
      return { start: one.seconds, all: all.seconds, cpu: ((all.cpu - one.cpu) * 1000) / (files - 1) }
    }
    const waiting = async (/** @type {string} */ folder, /** @type {number} */ count) => {
      await makeFiles(world, `${folder}-a`, count)
      await makeFiles(world, `${folder}-b`, count)
      const without = await command(world, ['enqueue', `${folder}-a`])
      await empty()
      const stop = startConsumer(world, sql)
      try {
        // Status 1: the files were not stored.
        const waited = await command(world, ['enqueue', '--wait', `${folder}-b`], [1])
        return { part: ((waited.cpu - without.cpu) * 1000) / count, all: (waited.cpu * 1000) / count }
      } finally {
        await stop()
      }
    }

    /** @type {Record<string, number[]>} */
    const samples = {}
    const note = (/** @type {Record<string, number>} */ figures) => {
      for (const [name, figure] of Object.entries(figures)) (samples[name] ??= []).push(figure)
    }
    for (let round = 0; round <= rounds; round++) {
      const client = await byClient(`client-${round}`)
      const transaction = await bySql(`sql-${round}`)
      await empty()
      const { start, all, cpu } = await byCommand(`cli-${round}`)
      await empty()
      const once = await waiting(`once-${round}`, waitFiles)
      const twice = await waiting(`twice-${round}`, 2 * waitFiles)
      await empty()
      if (round === 0) continue // warms up
      note({ client_files_per_s: client.rate, sql_files_per_s: transaction, cli_files_per_s: files / all })
      note({ client_cpu_ms_per_file: client.cpu, cli_cpu_ms_per_file: cpu })
      note({ cli_steady_files_per_s: (files - 1) / (all - start), cli_start_s: start })
      note({ wait_cpu_ms_per_file: once.part, wait_cpu_ms_per_file_of_twice: twice.part })
      note({ wait_linearity: twice.part / once.part, cpu_ms_per_file_with_wait: twice.all })
      say(
        `round ${round} of ${rounds}: client ${client.rate.toFixed(0)}, SQL ${transaction.toFixed(0)}, ` +
          `command ${(files / all).toFixed(0)} files/s; --wait ${once.part.toFixed(2)} and ${twice.part.toFixed(2)} ms`,
      )
    }
    const figures = Object.fromEntries(Object.entries(samples).map(([name, one]) => [name, summary(one)]))
    const report = { benchmark: 'enqueue', files, wait_files: [waitFiles, 2 * waitFiles], rounds, ...figures }
    if (values.json) console.log(JSON.stringify(report, null, 2))
    else {
      console.log(`${files} files, ${rounds} rounds; median (least to most)`)
      for (const [name, { median, least, most }] of Object.entries(figures))
        console.log(`  ${name.padEnd(32)} ${median.toFixed(2)} (${least.toFixed(2)} to ${most.toFixed(2)})`)
    }
    return 0
  } finally {
    await closers.close()
  }
})
