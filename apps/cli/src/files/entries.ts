import type { BigIntStats, Dirent } from 'node:fs'
import { lstat, readdir } from 'node:fs/promises'
import { isText, NOT_TEXT, shownBytes } from './bytes-names.js'
import { hasCode } from './errno.js'
import type { OpenFolder } from './open-folder.js'

/** What lies in a folder, or below it. */
export type Entry = {
  /** open until the next entry is asked for */
  readonly folder: OpenFolder
  readonly name: string
} & (
  | { readonly stats: BigIntStats; readonly reason?: string }
  // Its name is not UTF-8 and shown as far as it goes.
  | { readonly stats?: undefined; readonly reason: string }
)

/**
 * Everything below a folder but the folders themselves, by name. Folders are opened through their parent's descriptor and never
 * through a link. `reason` says why it is no file to be taken.
 */
export async function* entriesBelow(folder: OpenFolder): AsyncGenerator<Entry, void, undefined> {
  const entries = await readdir(folder.at('.'), { withFileTypes: true, encoding: 'buffer' })
  for (const entry of entries.sort((a, b) => Buffer.compare(a.name, b.name))) {
    if (!isText(entry.name)) {
      yield { folder, name: shownBytes(entry.name), reason: NOT_TEXT }
      continue
    }
    const name = entry.name.toString('utf8')
    const inner = entry.isDirectory() ? await childOrUndefined(folder, name) : undefined
    if (inner === undefined) {
      const one = await looked(folder, name, entry)
      if (one !== undefined) yield one
      continue
    }
    await using open = inner
    yield* entriesBelow(open)
  }
}

/** Undefined for what is no folder any more. */
async function childOrUndefined(folder: OpenFolder, name: string): Promise<OpenFolder | undefined> {
  try {
    return await folder.child(name)
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR', 'ELOOP')) return undefined
    throw error
  }
}

async function looked(folder: OpenFolder, name: string, entry: Dirent<Buffer>): Promise<Entry | undefined> {
  let stats: BigIntStats
  try {
    stats = await lstat(folder.at(name), { bigint: true })
  } catch (error) {
    // Removed since the folder was read: as if it had not been there.
    if (hasCode(error, 'ENOENT')) return undefined
    throw error
  }
  if (stats.isFile() && entry.isFile()) return { folder, name, stats }
  return { folder, name, stats, reason: stats.isSymbolicLink() ? 'symbolic link' : 'not a regular file' }
}
