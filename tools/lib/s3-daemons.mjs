/**
 * Shared code of the private S3 servers: detached daemons whose pids are recorded, and stopping exactly those.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { open, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { endProcess, identify } from './processes.mjs'

/**
 * Starts a program that outlives this process, with its output appended to a file. Resolves with its pid once it
 * was spawned; throws when the program cannot be started.
 *
 * @param {{ command: string, args: string[], cwd: string, logFile: string, env?: NodeJS.ProcessEnv }} options
 * @returns {Promise<number>}
 */
export async function startDaemon({ command, args, cwd, logFile, env = process.env }) {
  const output = await open(logFile, 'a')
  try {
    const child = spawn(command, args, { cwd, env, detached: true, stdio: ['ignore', output.fd, output.fd] })
    await once(child, 'spawn')
    child.unref()
    if (child.pid === undefined) throw new Error(`${command} has no pid`)
    return child.pid
  } finally {
    await output.close()
  }
}

/**
 * Whether the pid is alive and is still the daemon we started: its command line names our directory. The system reuses
 * pids, and no other program's process may ever be ended.
 *
 * @param {number} pid
 * @param {string} mark a string that the daemon's command line holds
 */
export async function isOurs(pid, mark) {
  try {
    const commandLine = await readFile(`/proc/${pid}/cmdline`, 'utf8')
    return commandLine.includes(mark)
  } catch (error) {
    const code = /** @type {NodeJS.ErrnoException} */ (error).code
    if (code === 'ENOENT' || code === 'ESRCH') return false
    throw error
  }
}

/**
 * Ends a daemon: SIGTERM, and after ten seconds SIGKILL. Returns when it is gone and its ports are free. Does nothing to a
 * foreign pid.
 *
 * @param {number} pid
 * @param {string} mark see {@link isOurs}
 */
export async function stopDaemon(pid, mark) {
  if (!(await isOurs(pid, mark))) return
  const identity = identify(pid)
  if (identity) await endProcess(identity, 'SIGTERM', 10_000)
}

/**
 * Whether anything answers HTTP there, whatever the status.
 *
 * @param {string} url
 */
export async function answersHttp(url) {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(5_000) })
    await response.arrayBuffer()
    return true
  } catch (error) {
    if (error instanceof TypeError || /** @type {Error} */ (error).name === 'TimeoutError') return false
    throw error
  }
}

/**
 * Polls every 100 ms until the answer is true.
 *
 * @param {() => Promise<boolean>} condition
 * @param {{ timeoutMs: number, what: string }} options
 */
export async function until(condition, { timeoutMs, what }) {
  const end = performance.now() + timeoutMs
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`waited ${timeoutMs / 1000} s for ${what}`)
    await delay(100)
  }
}

/**
 * The last lines of every log file in a folder, for an error message.
 *
 * @param {string} folder
 */
export async function logTail(folder) {
  const tails = []
  for (const name of (await readdir(folder)).sort()) {
    const text = (await readFile(join(folder, name), 'utf8')).trimEnd()
    if (text !== '') tails.push(`${name}:\n${text.split('\n').slice(-4).join('\n')}`)
  }
  return tails.join('\n')
}
