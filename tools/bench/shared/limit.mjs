/** What the benchmarks of sealing and opening share: the limit of the machine's own openssl, cores, medians. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { cpus } from 'node:os'
import { setTimeout } from 'node:timers/promises'

/** @param {number[]} values */
export function median(values) {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? (sorted[middle] ?? NaN) : ((sorted[middle - 1] ?? NaN) + (sorted[middle] ?? NaN)) / 2
}

/** @param {number} value */
export const rounded = (value) => Number(value.toFixed(3))

/** The median of several rounds, with the least and the greatest. @param {number[]} values */
export function spreadOf(values) {
  return { median: rounded(median(values)), min: rounded(Math.min(...values)), max: rounded(Math.max(...values)) }
}

/** `--json` and `--rounds N`, else usage and exit status 2. @param {string} name @param {readonly string[]} args */
export function parseFlags(name, args) {
  const options = { rounds: 7, json: false }
  for (let i = 0; i < args.length; i++) {
    if (args[i] === '--json') options.json = true
    else if (args[i] === '--rounds') options.rounds = Number(args[++i])
    else options.rounds = NaN
  }
  if (Number.isInteger(options.rounds) && options.rounds >= 1) return options
  console.error(`usage: npm run bench -- ${name} [--json] [--rounds N]`)
  process.exit(2)
}

/** GiB per second of core time of one algorithm at blocks of 64 KiB, over one second. @param {string} algorithm */
export function opensslSpeed(algorithm) {
  const args = ['speed', '-mr', '-seconds', '1', '-bytes', '65536', '-evp', algorithm]
  const { status, stdout, error } = spawnSync('openssl', args, { encoding: 'utf8' })
  const rate = /^\+F:\d+:[^:]*:([\d.]+)$/m.exec(stdout ?? '')?.[1]
  if (status !== 0 || rate === undefined) throw new Error(`openssl speed failed: ${error?.message ?? stdout}`)
  return Number(rate) / 2 ** 30
}

/**
 * Starts a contestant's process on the named cores.
 *
 * @param {string} script absolute path
 * @param {readonly number[]} [cores] by default those of this process
 */
export function contestant(script, cores) {
  const pinned = cores === undefined ? [] : ['taskset', '-c', cores.join(',')]
  const [program = process.execPath, ...args] = [...pinned, process.execPath, script]
  const child = spawn(program, args, { stdio: ['ignore', 2, 2, 'ipc'] })
  child.once('exit', (code) => {
    if (code !== 0) process.exit(1)
  })
  return {
    /** One run; of `name`, what it measures. @param {string} name @returns {Promise<number>} */
    run: async (name) => {
      const answered = once(child, 'message')
      child.send(name)
      const [result] = await answered
      return result
    },
    end: () => child.disconnect(),
  }
}

/** All cores of the machine, the least busy over a short while first. */
export async function coresByIdleness() {
  const busy = () => cpus().map(({ times }) => times.user + times.sys + times.nice + times.irq)
  const before = busy()
  await setTimeout(300)
  const work = busy().map((now, i) => now - (before[i] ?? 0))
  return work.map((_, core) => core).sort((a, b) => (work[a] ?? 0) - (work[b] ?? 0))
}

/**
 * Runs a script again, bound to one core, with all processes it starts; resolves in that second run, with its arguments.
 *
 * @param {string} script absolute path
 */
export async function onOneCore(script) {
  const [first, ...rest] = process.argv.slice(2)
  if (first === '--on-one-core') return rest
  const args = process.argv.slice(2)
  const [core] = await coresByIdleness()
  const command = ['-c', String(core), process.execPath, script, '--on-one-core', ...args]
  const { status, error } = spawnSync('taskset', command, { stdio: 'inherit' })
  if (!error) process.exit(status ?? 1)
  console.error('bench: taskset is missing (Debian: util-linux), so the core may change while this runs')
  return args
}
