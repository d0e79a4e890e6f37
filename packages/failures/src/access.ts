import { closeSync, constants, lstatSync, openSync, statSync } from 'node:fs'
import { userInfo } from 'node:os'
import path from 'node:path'

/**
 * Missing rights, described with the refusing path and the user: `EACCES` alone names neither. Tested by trying, since
 * access(2) answers for the real user, and reading uses the effective one.
 */

/** Whether a file system's error means missing rights. */
export function isDenied(error: unknown): boolean {
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined
  return code === 'EACCES' || code === 'EPERM'
}

/**
 * The obstacle to this user's reading of `target`: the first folder on the way that may not be entered, else the file
 * or folder itself. Undefined when there is none (any more), or `target` does not exist. Never throws.
 */
export function refusesReading(target: string): string | undefined {
  const whole = path.resolve(target)
  const folder = refusesEntering(whole)
  if (folder !== undefined) return folder
  return denied(() => {
    const stats = statSync(whole)
    // Other faults show when the files are opened.
    if (stats.isFile() || stats.isDirectory()) closeSync(openSync(whole, constants.O_RDONLY | constants.O_NONBLOCK))
  })
    ? whole
    : undefined
}

/**
 * The obstacle to this user's writing at `target`, after the system refused it: the first folder on the way that may
 * not be entered, else the deepest existing folder, which would get the new name. Never throws.
 */
export function refusesWriting(target: string): string {
  const whole = path.resolve(target)
  const folder = refusesEntering(whole)
  if (folder !== undefined) return folder
  for (let at = whole; at !== path.dirname(at); at = path.dirname(at)) {
    try {
      if (statSync(at).isDirectory()) return at
    } catch {
      // Missing: then its folder refused.
    }
  }
  return '/'
}

function refusesEntering(whole: string): string | undefined {
  let at = ''
  for (const part of whole.split('/').slice(1)) {
    // Entering means looking up a name in it.
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

/** The user of this process's reads and writes, by name; `user ID` if the system has no name for it. */
export function effectiveUser(): string {
  try {
    return userInfo().username
  } catch {
    return `user ${process.geteuid?.() ?? 'unknown'}`
  }
}
