import { realpathSync, statSync, type Stats } from 'node:fs'
import { dirname, resolve } from 'node:path'

/** The content of a file: a secret must be closed to readers as well, other content only to writers. */
export type Content = 'secret' | 'public'

/** The part of `Stats` that holds a file's owner and rights. */
export type Ownership = Pick<Stats, 'uid' | 'mode'>

/**
 * Why a file is not used, as the end of "FILE …", or undefined when it may be. The rule for a secret is PostgreSQL's
 * for a server's key: 0600 or less when it is this user's, 0640 or less when it is root's. Files below one of
 * `sharedFolders` (mounted by a container's runtime, docs/decisions/0026) may belong to anyone and be read by all. None
 * may be written by others, nor lie in a folder where others could exchange it.
 */
export function trustFault(
  path: string,
  stats: Ownership,
  content: Content,
  sharedFolders: readonly string[] = [],
): string | undefined {
  const mine = process.getuid?.()
  // Windows has no modes.
  if (mine === undefined) return undefined
  const shared = isBelow(path, sharedFolders)
  const mode = `mode ${(stats.mode & 0o777).toString(8).padStart(4, '0')}`
  const fix = `run: chmod ${content === 'secret' ? '600' : 'go-w'} ${path}`
  if (!shared && stats.uid !== mine && stats.uid !== 0) return `belongs to another user (uid ${stats.uid})`
  if ((stats.mode & 0o022) !== 0) return `can be written by others (${mode}); ${fix}`
  const readers = stats.uid === 0 ? 0o004 : 0o044
  if (content === 'secret' && !shared && (stats.mode & readers) !== 0)
    return `can be read by others (${mode}); ${fix}, or name its folder in SEALFLEET_SECRET_FOLDERS`
  return openFolder(path)
}

function isBelow(path: string, folders: readonly string[]): boolean {
  const whole = resolve(path)
  return folders.some((folder) => whole.startsWith(`${folder === '/' ? '' : folder}/`))
}

/** A folder above the file, links followed, in which other users can exchange names; the sticky bit prevents that. */
function openFolder(path: string): string | undefined {
  let folder = dirname(realpathSync(path))
  for (;;) {
    const { mode } = statSync(folder)
    if ((mode & 0o022) !== 0 && (mode & 0o1000) === 0)
      return `lies in a folder that others can write to; run: chmod go-w ${folder}`
    const parent = dirname(folder)
    if (parent === folder) return undefined
    folder = parent
  }
}
