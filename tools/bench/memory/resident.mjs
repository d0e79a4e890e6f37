/** Resident memory of processes, from /proc (proc(5)); all sizes in bytes. Linux only. */
import { readdirSync, readFileSync } from 'node:fs'

/**
 * @typedef {object} Resident
 * @property {number} rss pages in memory now
 * @property {number} peak the most it ever was, kept by the kernel (VmHWM)
 */

/** @param {number} pid @returns {Resident | undefined} undefined when the process has ended */
export function residentOf(pid) {
  const status = textOf(`/proc/${pid}/status`)
  const rss = kibibytes(status, 'VmRSS')
  return rss === undefined ? undefined : { rss, peak: kibibytes(status, 'VmHWM') ?? rss }
}

/** @param {string | undefined} status @param {string} field */
function kibibytes(status, field) {
  const value = new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(status ?? '')?.[1]
  return value === undefined ? undefined : Number(value) * 1024
}

/** @param {number} parent @returns {number[]} pids of its children: of a worker, its HSM agents */
export function childrenOf(parent) {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      const stat = textOf(`/proc/${pid}/stat`) ?? ''
      return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]) === parent
    })
}

/** @param {string} file */
function textOf(file) {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes(/** @type {NodeJS.ErrnoException} */ (error).code ?? '')) return undefined
    throw error
  }
}

/**
 * Looks at a worker and its agents every `everyMs` until `stop`.
 *
 * @param {number} pid
 * @param {number} everyMs
 */
export function startSampling(pid, everyMs) {
  const agents = childrenOf(pid)
  /** @type {number[]} */
  const samples = []
  let peak = 0
  let agentsMax = 0
  const look = () => {
    const worker = residentOf(pid)
    if (worker) samples.push(worker.rss)
    if (worker) peak = worker.peak
    const together = agents.reduce((sum, agent) => sum + (residentOf(agent)?.rss ?? 0), 0)
    agentsMax = Math.max(agentsMax, together)
  }
  look()
  const timer = setInterval(look, everyMs)
  return {
    latest: () => samples.at(-1) ?? NaN,
    stop: () => {
      clearInterval(timer)
      look()
      const sorted = samples.toSorted((a, b) => a - b)
      return {
        samples: sorted.length,
        idle: samples[0] ?? NaN,
        median: sorted[sorted.length >> 1] ?? NaN,
        max: sorted.at(-1) ?? NaN,
        peak,
        agents: agents.length,
        agentsMax,
      }
    },
  }
}
