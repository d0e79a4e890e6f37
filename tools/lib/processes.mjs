/**
 * Processes that outlive the script that started them. A process is identified by pid, start time and boot, because the
 * system reuses pids: another program with the pid of our dead server must never be ended. Linux only (/proc).
 */
import { readFileSync, readdirSync, readlinkSync } from 'node:fs'
import { basename } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

/** @typedef {{ pid: number, startTime: string, bootId: string }} ProcessIdentity */

const GONE = new Set(['ENOENT', 'ESRCH'])

/** @param {() => string} read @returns {string | undefined} */
function ifThere(read) {
  try {
    return read()
  } catch (error) {
    const code = /** @type {NodeJS.ErrnoException} */ (error).code ?? ''
    if (GONE.has(code) || code === 'EACCES') return undefined
    throw error
  }
}

function bootId() {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
}

/**
 * State letter, parent and start time (clock ticks since boot) of a process; undefined when there is none.
 * The command's name may hold spaces and brackets, so fields are counted from the last `)` (proc(5): fields 3, 4, 22).
 *
 * @param {number} pid
 */
function stat(pid) {
  const text = ifThere(() => readFileSync(`/proc/${pid}/stat`, 'utf8'))
  if (text === undefined) return undefined
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  return { state: fields[0], parent: Number(fields[1]), startTime: fields[19] ?? '' }
}

/**
 * The first thread of a killed process ends, a zombie, while others still run: until the last of them is gone its files
 * and ports stay open.
 *
 * @param {number} pid
 */
function hasOtherThreads(pid) {
  try {
    return readdirSync(`/proc/${pid}/task`).length > 1
  } catch (error) {
    if (GONE.has(/** @type {NodeJS.ErrnoException} */ (error).code ?? '')) return false
    throw error
  }
}

/**
 * @param {number} pid
 * @returns {ProcessIdentity | undefined} undefined when there is no such process, or it has ended with all its threads
 *   and waits to be reaped
 */
export function identify(pid) {
  const found = stat(pid)
  if (!found || found.state === 'X' || (found.state === 'Z' && !hasOtherThreads(pid))) return undefined
  return { pid, startTime: found.startTime, bootId: bootId() }
}

/**
 * Whether that very process still runs.
 *
 * @param {ProcessIdentity} identity
 */
export function isRunning(identity) {
  const now = identify(identity.pid)
  return now !== undefined && now.startTime === identity.startTime && now.bootId === identity.bootId
}

/**
 * Ends a process: `signal`, and SIGKILL when it still runs after the grace. Returns when it is gone; does nothing when
 * it has already ended. No event reports the end of a process that isn't our child, so /proc is polled every 25 ms.
 *
 * @param {ProcessIdentity} identity
 * @param {NodeJS.Signals} [signal]
 * @param {number} [graceMs]
 */
export async function endProcess(identity, signal = 'SIGTERM', graceMs = 15_000) {
  for (const [next, patience] of /** @type {[NodeJS.Signals, number][]} */ ([
    [signal, graceMs],
    ['SIGKILL', 10_000],
  ])) {
    if (!isRunning(identity)) return
    process.kill(identity.pid, next)
    const end = performance.now() + patience
    while (isRunning(identity)) {
      if (performance.now() > end) break
      await delay(25)
    }
  }
  if (isRunning(identity)) throw new Error(`process ${identity.pid} does not end, not even by SIGKILL`)
}

/**
 * Processes of a given program that work in a given directory: servers of ours whose record was lost. Each of our
 * servers has its own working directory, and two on the same data would ruin it. Their children are left out.
 *
 * @param {string} directory real path of the working directory
 * @param {string} program name it was started by, e.g. `redis-server`
 * @returns {ProcessIdentity[]}
 */
export function findLost(directory, program) {
  /** @type {ProcessIdentity[]} */
  const found = []
  for (const name of readdirSync('/proc')) {
    const pid = Number(name)
    if (!Number.isInteger(pid) || pid === process.pid) continue
    if (ifThere(() => readlinkSync(`/proc/${pid}/cwd`)) !== directory) continue
    const command = ifThere(() => readFileSync(`/proc/${pid}/comm`, 'utf8'))?.trim()
    // Debian's redis-server is a link to another name, so the executable alone doesn't tell; nor does a set thread
    // name.
    const executable = basename(ifThere(() => readlinkSync(`/proc/${pid}/exe`)) ?? '')
    const identity = command === program || executable === program ? identify(pid) : undefined
    if (identity) found.push(identity)
  }
  return found.filter(({ pid }) => !found.some((other) => other.pid === stat(pid)?.parent))
}
