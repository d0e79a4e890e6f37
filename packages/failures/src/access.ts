import { closeSync, constants, lstatSync, openSync, statSync } from 'node:fs'
import { userInfo } from 'node:os'
import path from 'node:path'

/**
 * Missing rights, said with what refuses and to whom: `EACCES` alone names neither. The system is asked by trying, since
 * access(2) answers for the real user and the effective one reads.
 */

/** Whether a file system's error means missing rights. */
export function isDenied(error: unknown): boolean {
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined
  return code === 'EACCES' || code === 'EPERM'
}

/**
 * What keeps this user from reading `target`: the first folder on the way that may not be entered, else the file or folder
 * itself; undefined when nothing does (any more), or it is not there. Never throws.
 */
export function refusesReading(target: string): string | undefined {
  const whole = path.resolve(target)
  const folder = refusesEntering(whole)
  if (folder !== undefined) return folder
  return denied(() => {
    const stats = statSync(whole)
    // Others notice when they are opened.
    if (stats.isFile() || stats.isDirectory()) closeSync(openSync(whole, constants.O_RDONLY | constants.O_NONBLOCK))
  })
    ? whole
    : undefined
}

/**
 * What keeps this user from writing at `target`, after the system said so: the first folder on the way that may not be entered, else the
 * deepest folder that is there, which would have to take the new name. Never throws.
 */
export function refusesWriting(target: string): string {
  const whole = path.resolve(target)
  const folder = refusesEntering(whole)
  if (folder !== undefined) return folder
  for (let at = whole; at !== path.dirname(at); at = path.dirname(at)) {
    try {
      if (statSync(at).isDirectory()) return at
    } catch {
      // Not there: its folder is the one that was asked.
    }
  }
  return '/'
}

function refusesEntering(whole: string): string | undefined {
  let at = ''
  for (const part of whole.split('/').slice(1)) {
    // Entering is looking up a name in it.
    if (denied(() => lstatSync(`${at}/.`))) return at === '' ? '/' : at
    at = `${at}/${part}`
  }
  return undefined
}

function denied(attempt: () => void): boolean {
  try {
    attempt()
    return false
  } catch (error) {
    return isDenied(error)
  }
}

/** Who this process reads and writes as: the user's name; `user ID` for one that the system has no name of. */
export function effectiveUser(): string {
  try {
    return userInfo().username
  } catch {
    return `user ${process.geteuid?.() ?? 'unknown'}`
  }
}
