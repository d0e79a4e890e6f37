/** Starts a server that outlives the script, and waits until its own log shows that it is ready. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { watch } from 'node:fs'
import { open, readFile, stat } from 'node:fs/promises'
import { Refusal } from './say.mjs'
import { identify } from './processes.mjs'

/** @typedef {import('./processes.mjs').ProcessIdentity} ProcessIdentity */
/**
 * @typedef {object} DaemonOptions
 * @property {string} name for messages
 * @property {string} command
 * @property {string[]} args
 * @property {string} cwd the server's own directory
 * @property {NodeJS.ProcessEnv} [env]
 * @property {{ uid: number, gid: number }} [user] another user to run as; needs root
 * @property {string} log file that gets its output, appended
 * @property {(output: string) => boolean | Promise<boolean>} ready whether it serves, given what this run logged so far;
 *   asked after every new line
 * @property {number} [timeoutMs] default 60 s
 */

/**
 * Resolves when the server is ready. Throws a Refusal with the log's name and last lines when it ends
 * first, cannot be started, or says nothing within the time-out (then it is killed).
 *
 * @param {DaemonOptions} options
 * @returns {Promise<ProcessIdentity>}
 */
export async function startDaemon({ name, command, args, cwd, env, user, log, ready, timeoutMs = 60_000 }) {
  const output = await open(log, 'a', 0o600)
  let child
  let from
  try {
    from = (await output.stat()).size
    const stdio = /** @type {import('node:child_process').StdioOptions} */ (['ignore', output.fd, output.fd])
    child = spawn(command, args, { cwd, env: env ?? process.env, detached: true, stdio, ...user })
    await once(child, 'spawn')
  } catch (error) {
    throw new Refusal(`${name} could not be started: ${command}: ${String(error)}`, { cause: error })
  } finally {
    await output.close()
  }
  const stop = new AbortController()
  try {
    // A server that ends at once may have ended while its log was being closed here: that event is gone.
    const over = child.exitCode !== null || child.signalCode !== null
    const exit = over ? [child.exitCode, child.signalCode] : once(child, 'exit', { signal: stop.signal })
    const ended = Promise.resolve(exit).then(([code, signal]) => `ended at once (${signal ?? code})`)
    const patience = once(AbortSignal.timeout(timeoutMs), 'abort', { signal: stop.signal }).then(
      () => `did not become ready within ${timeoutMs / 1000} s`,
    )
    const trouble = await Promise.race([logSays(log, from, ready, stop.signal), ended, patience])
    if (trouble) {
      child.kill('SIGKILL')
      throw new Refusal(`${name} ${trouble}.\n${await logTail(log, from)}`)
    }
    const identity = child.pid === undefined ? undefined : identify(child.pid)
    if (!identity) throw new Refusal(`${name} ended as soon as it was ready.\n${await logTail(log, from)}`)
    return identity
  } finally {
    stop.abort()
    child.unref()
  }
}

/**
 * Resolves when `ready` accepts the log, read from a byte offset on. Woken by the file system, and twice a second
 * besides: some file systems (network mounts, some container overlays) send no events.
 *
 * @param {string} log
 * @param {number} from
 * @param {DaemonOptions['ready']} ready
 * @param {AbortSignal} signal
 * @returns {Promise<undefined>}
 */
async function logSays(log, from, ready, signal) {
  /** @type {() => void} */
  let wake = () => undefined
  const watcher = watch(log, () => wake())
  const tick = setInterval(() => wake(), 500)
  signal.addEventListener('abort', () => wake(), { once: true })
  try {
    while (!signal.aborted) {
      const woken = new Promise((resolve) => (wake = () => resolve(undefined)))
      if (await ready((await readFile(log)).subarray(from).toString('utf8'))) return undefined
      await woken
    }
    return undefined
  } finally {
    watcher.close()
    clearInterval(tick)
  }
}

/**
 * The log's name and its last lines, for an error message.
 *
 * @param {string} log
 * @param {number} [from] byte offset where this run's output begins
 */
export async function logTail(log, from = 0) {
  if ((await stat(log)).size <= from) return `Its log ${log} is empty.`
  const text = (await readFile(log)).subarray(from).toString('utf8').trimEnd()
  const lines = text.split('\n').slice(-12)
  return `Its log is ${log}; the last lines:\n${lines.map((line) => `  ${line}`).join('\n')}`
}
