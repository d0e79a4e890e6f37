/**
 * `npm run bench -- seal [--json] [--rounds N]`: how fast one core seals into memory, in segments of 1 MiB, against
 *
 * - the limit: every byte goes through AES-CTR once and through SHA-256 once, so the maximum is 1/(1/aes + 1/sha256),
 *   both as `openssl speed` measures them (its libcrypto, no Node in between);
 * - a peer: @aws-crypto/client-node at frames of 1 MiB under a raw AES keyring (AES-256-GCM, key commitment). Its
 *   suite without signatures is the harder peer and gives `ratio_to_aws`; its default also signs with ECDSA.
 *
 * All run on the same core, in turn, several rounds; ratios are taken within a round and the median is printed, so that
 * a machine that speeds up or slows down moves both sides of a ratio. Seconds are seconds of core time (openssl's too,
 * without -elapsed): on an idle core that is elapsed time; on a shared one, other processes' time is excluded.
 */
import { fork, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

/** @param {readonly string[]} args */
function parse(args) {
  const options = { rounds: 7, json: false }
  for (let i = 0; i < args.length; i++) {
    if (args[i] === '--json') options.json = true
    else if (args[i] === '--rounds') options.rounds = Number(args[++i])
    else usage()
  }
  if (!Number.isInteger(options.rounds) || options.rounds < 1) usage()
  return options
}

function usage() {
  console.error('usage: npm run bench -- seal [--json] [--rounds N]')
  process.exit(2)
}

/** @param {number[]} values */
function median(values) {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? (sorted[middle] ?? NaN) : ((sorted[middle - 1] ?? NaN) + (sorted[middle] ?? NaN)) / 2
}

/** GiB per second of core time of one algorithm at blocks of 64 KiB, over one second. @param {string} algorithm */
function opensslSpeed(algorithm) {
  const args = ['speed', '-mr', '-seconds', '1', '-bytes', '65536', '-evp', algorithm]
  const { status, stdout, error } = spawnSync('openssl', args, { encoding: 'utf8' })
  const rate = /^\+F:\d+:[^:]*:([\d.]+)$/m.exec(stdout ?? '')?.[1]
  if (status !== 0 || rate === undefined) throw new Error(`openssl speed failed: ${error?.message ?? stdout}`)
  return Number(rate) / 2 ** 30
}

/** Starts a contestant's process. @param {string} script */
function contestant(script) {
  const child = fork(join(import.meta.dirname, 'seal', script), { stdio: ['ignore', 2, 2, 'ipc'] })
  child.once('exit', (code) => {
    if (code !== 0) process.exit(1)
  })
  return {
    /** GiB/s of one run. @param {string} name @returns {Promise<number>} */
    run: async (name) => {
      const answered = once(child, 'message')
      child.send(name)
      const [result] = await answered
      return result
    },
    end: () => child.disconnect(),
  }
}

/** @param {number} rounds */
async function measure(rounds) {
  const ours = contestant('ours.mjs')
  const aws = contestant('aws.mjs')
  await ours.run('check')
  await ours.run('fresh')
  await aws.run('unsigned')
  await aws.run('signed')
  const results = []
  for (let round = 0; round < rounds; round++) {
    const aes = opensslSpeed('aes-128-ctr')
    const first = await ours.run('memory')
    const sha256 = opensslSpeed('sha256')
    const second = await ours.run('memory')
    results.push({
      aes,
      sha256,
      limit: 1 / (1 / aes + 1 / sha256),
      ours: 2 / (1 / first + 1 / second),
      fresh: await ours.run('fresh'),
      unsigned: await aws.run('unsigned'),
      signed: await aws.run('signed'),
    })
  }
  ours.end()
  aws.end()
  return results
}

/** @param {Awaited<ReturnType<typeof measure>>} results */
function summarise(results) {
  /** @param {(result: (typeof results)[number]) => number} of */
  const typical = (of) => Number(median(results.map(of)).toFixed(3))
  return {
    benchmark: 'seal',
    segment_bytes: 2 ** 20,
    rounds: results.length,
    gib_per_s: typical(({ ours }) => ours),
    limit_gib_per_s: typical(({ limit }) => limit),
    ratio_to_limit: typical(({ ours, limit }) => ours / limit),
    openssl_aes_128_ctr_gib_per_s: typical(({ aes }) => aes),
    openssl_sha256_gib_per_s: typical(({ sha256 }) => sha256),
    fresh_buffers_gib_per_s: typical(({ fresh }) => fresh),
    fresh_buffers_ratio_to_limit: typical(({ fresh, limit }) => fresh / limit),
    aws_gib_per_s: typical(({ unsigned }) => unsigned),
    ratio_to_aws: typical(({ ours, unsigned }) => ours / unsigned),
    aws_default_gib_per_s: typical(({ signed }) => signed),
    ratio_to_aws_default: typical(({ ours, signed }) => ours / signed),
  }
}

/** @param {ReturnType<typeof summarise>} report */
function print(report) {
  /** @param {string} name @param {number} speed @param {string} remark */
  const line = (name, speed, remark) => console.log(`  ${name.padEnd(28)}${speed.toFixed(2)} GiB/s   ${remark}`)
  console.log(`sealing into memory, segments of 1 MiB, one core, medians of ${report.rounds} rounds`)
  line('sealed', report.gib_per_s, `${report.ratio_to_limit} of the limit`)
  line('into fresh buffers', report.fresh_buffers_gib_per_s, `${report.fresh_buffers_ratio_to_limit} of the limit`)
  line('limit by openssl speed', report.limit_gib_per_s, '')
  line('@aws-crypto/client-node', report.aws_gib_per_s, `we are ${report.ratio_to_aws} times as fast`)
  line('the same, signing (default)', report.aws_default_gib_per_s, `${report.ratio_to_aws_default} times`)
}

/** The least busy core over a short while. */
async function idlestCore() {
  const busy = () => cpus().map(({ times }) => times.user + times.sys + times.nice + times.irq)
  const before = busy()
  await setTimeout(300)
  const work = busy().map((now, i) => now - (before[i] ?? 0))
  return work.indexOf(Math.min(...work))
}

/** Runs this script again, bound to one core, with all processes it starts. @param {readonly string[]} args */
async function onOneCore(args) {
  const self = fileURLToPath(import.meta.url)
  const command = ['-c', String(await idlestCore()), process.execPath, self, '--on-one-core', ...args]
  const { status, error } = spawnSync('taskset', command, { stdio: 'inherit' })
  if (!error) process.exit(status ?? 1)
  console.error('bench: taskset is missing (Debian: util-linux), so the core may change while this runs')
}

const [first, ...rest] = process.argv.slice(2)
const bound = first === '--on-one-core'
const args = bound ? rest : process.argv.slice(2)
const { json, rounds } = parse(args)
if (!bound) await onOneCore(args)
const report = summarise(await measure(rounds))
if (json) console.log(JSON.stringify(report, null, 2))
else print(report)
