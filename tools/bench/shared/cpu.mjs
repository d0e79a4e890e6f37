/** Seconds of CPU of the processes that a benchmark of a whole fleet runs. */
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { redisUrl } from '@sealfleet/testkit'

/** Ticks of /proc/PID/stat a second. */
const TICKS = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }))

/** @typedef {{ pid: number, parent: number, command: string, seconds: number }} Process */

/** @returns {Process[]} */
function processes() {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        const fields = fieldsOf(`/proc/${name}/stat`)
        const command = readFileSync(`/proc/${name}/cmdline`, 'utf8')
        const seconds = (Number(fields[11]) + Number(fields[12])) / TICKS
        return [{ pid: Number(name), parent: Number(fields[1]), command, seconds }]
      } catch {
        return [] // it ended meanwhile
      }
    })
}

/** The fields after the name, which may hold spaces. @param {string} file */
function fieldsOf(file) {
  const stat = readFileSync(file, 'utf8')
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')
}

/**
 * Seconds of CPU so far, by kind of process.
 *
 * @param {readonly number[]} workers @param {string} database
 */
export function cpuOfFleet(workers, database) {
  const all = processes()
  const of = (/** @type {(one: Process) => boolean} */ wanted) =>
    all.filter(wanted).reduce((sum, { seconds }) => sum + seconds, 0)
  return {
    worker: of(({ pid }) => workers.includes(pid)),
    agents: of(({ parent }) => workers.includes(parent)),
    postgres: of(({ command }) => command.startsWith('postgres:') && command.includes(` ${database} `)),
    redis: of(({ command }) => command.includes(`redis-server 127.0.0.1:${new URL(redisUrl()).port}`)),
  }
}

/** Seconds of CPU of the children of this process that have ended, and of theirs. */
export function cpuOfEndedChildren() {
  const fields = fieldsOf('/proc/self/stat')
  return (Number(fields[13]) + Number(fields[14])) / TICKS
}
