import type { BigIntStats, Dirent } from 'node:fs'
import { lstat, readdir } from 'node:fs/promises'
import path from 'node:path'
import { isText, NOT_TEXT, shownBytes } from './bytes-names.js'
import { errnoOf, hasCode } from './errno.js'
import type { OpenFolder } from './open-folder.js'

/** Entries of a folder whose kind and size are read at once. */
const LOOK_AT_ONCE = 64

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

/** The system's error about a folder entry, with a readable path: errors through a descriptor have none. */
export class EntryError extends Error {
  override readonly name = 'EntryError'
  /** as people know it */
  readonly where: string

  constructor(where: string, cause: unknown) {
    super(`${where} could not be read`, { cause })
    this.where = where
  }
}

async function naming<T>(where: string, task: Promise<T>): Promise<T> {
  try {
    return await task
  } catch (error) {
    throw errnoOf(error) === undefined ? error : new EntryError(where, error)
  }
}

/**
 * Everything below a folder but the folders themselves, by name. Folders are opened through their parent's descriptor and never
 * through a link. `reason` says why it is no file to be taken. Throws EntryError for a folder that cannot be read.
 */
export async function* entriesBelow(folder: OpenFolder): AsyncGenerator<Entry, void, undefined> {
  const reading = readdir(folder.at('.'), { withFileTypes: true, encoding: 'buffer' })
  const entries = await naming(folder.path, reading)
  entries.sort((a, b) => Buffer.compare(a.name, b.name))
  for (let at = 0; at < entries.length;) {
    const entry = entries[at]
    if (entry?.isDirectory() === true && isText(entry.name)) {
      at += 1
      yield* inFolder(folder, entry)
      continue
    }
    const row = entries.slice(at, at + LOOK_AT_ONCE)
    const end = row.findIndex((one) => one.isDirectory() && isText(one.name))
    const beside = end < 0 ? row : row.slice(0, end)
    at += beside.length
    const found = await Promise.all(beside.map((one) => naming(folder.path, looked(folder, one))))
    for (const one of found) if (one !== undefined) yield one
  }
}

/** What lies below a folder of another, or the entry itself when it is no longer a folder. */
async function* inFolder(folder: OpenFolder, entry: Dirent<Buffer>): AsyncGenerator<Entry, void, undefined> {
  const name = entry.name.toString('utf8')
  const inner = await naming(path.join(folder.path, name), childOrUndefined(folder, name))
  if (inner === undefined) {
    const one = await naming(folder.path, looked(folder, entry))
    if (one !== undefined) yield one
    return
  }
  await using open = inner
  yield* entriesBelow(open)
}

/** Undefined when it is no longer a folder. */
async function childOrUndefined(folder: OpenFolder, name: string): Promise<OpenFolder | undefined> {
  try {
    return await folder.child(name)
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR', 'ELOOP')) return undefined
    throw error
  }
}

async function looked(folder: OpenFolder, entry: Dirent<Buffer>): Promise<Entry | undefined> {
  if (!isText(entry.name)) return { folder, name: shownBytes(entry.name), reason: NOT_TEXT }
  const name = entry.name.toString('utf8')
  let stats: BigIntStats
  try {
    stats = await lstat(folder.at(name), { bigint: true })
  } catch (error) {
    // Removed since the folder was read: ignored.
    if (hasCode(error, 'ENOENT')) return undefined
    throw error
  }
  if (stats.isFile() && entry.isFile()) return { folder, name, stats }
  return { folder, name, stats, reason: stats.isSymbolicLink() ? 'symbolic link' : 'not a regular file' }
}
