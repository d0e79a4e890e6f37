import { createHash, randomBytes } from 'node:crypto'
import { readFileSync, readlinkSync } from 'node:fs'
import { lstat, readdir, stat, unlink } from 'node:fs/promises'
import { hostname } from 'node:os'
import { hasCode } from './errno.js'
import { descriptorsHavePaths, type OpenFolder } from './open-folder.js'

/**
 * Names of unfinished files: `.sealfleet-HOST-PID-START.RANDOM.part`. They name the writing process, so that
 * leftovers of a killed process can be told from files of a running one. HOST covers the machine and its namespace of
 * process ids.
 */
const PART = /^\.sealfleet-([0-9a-f]{8})-(\d{1,10})-(\d{1,20})\.[0-9a-f]{16}\.part$/

export function partName(): string {
  return `.sealfleet-${host()}-${process.pid}-${startOf(process.pid) ?? '0'}.${randomBytes(8).toString('hex')}.part`
}

const seen = new Set<string>()

/**
 * Removes unfinished files that processes of this machine left in a folder when they were killed; once a folder and run.
 * Those of running processes, of other machines and of other users stay. Ignores files that another process removed.
 */
export async function removeStaleParts(folder: OpenFolder): Promise<void> {
  if (!descriptorsHavePaths()) return
  // With the time of its making: a file system gives the number of a deleted folder to a new one.
  const { birthtimeNs } = await stat(folder.at('.'), { bigint: true })
  const id = `${folder.dev}:${folder.ino}:${birthtimeNs}`
  if (seen.has(id)) return
  seen.add(id)
  for (const name of await readdir(folder.at('.'))) {
    if (!isStale(name)) continue
    try {
      const stats = await lstat(folder.at(name))
      if (stats.isFile() && stats.uid === process.geteuid?.()) await unlink(folder.at(name))
    } catch (error) {
      if (!hasCode(error, 'ENOENT')) throw error
    }
  }
}

function isStale(name: string): boolean {
  const [, of, pid, start] = PART.exec(name) ?? []
  return pid !== undefined && of === host() && startOf(Number(pid)) !== start
}

let ownHost: string | undefined

function host(): string {
  return (ownHost ??= createHash('sha256').update(`${hostname()}\0${processNamespace()}`).digest('hex').slice(0, 8))
}

function processNamespace(): string {
  return descriptorsHavePaths() ? readlinkSync('/proc/self/ns/pid') : ''
}

/** When a process began, in ticks since the machine did: with its id it names one process. Undefined when there is none. */
function startOf(pid: number): string | undefined {
  try {
    const line = readFileSync(`/proc/${pid}/stat`, 'latin1')
    // The name of the program, in parentheses, may hold anything; the start is the 20th field behind it (proc(5)).
    return line.slice(line.lastIndexOf(')') + 2).split(' ')[19]
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ESRCH')) return undefined
    throw error
  }
}
