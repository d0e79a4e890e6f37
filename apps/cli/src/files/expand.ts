import type { Dirent } from 'node:fs'
import { lstat, readdir, readlink, realpath } from 'node:fs/promises'
import path from 'node:path'
import { glob, isDynamicPattern } from 'tinyglobby'
import { CliError, missingError } from '../cli-error.js'
import { EXIT } from '../exit-status.js'
import { printable } from '../output/printable.js'
import { errnoOf, hasCode } from './errno.js'
import { outsideRoots, placeInRoot, type Placement, type Root } from './roots.js'

/** A file found, as it is named to the queue and to people. */
export interface FoundFile extends Placement {
  /** as people know it: relative to the working folder where that is shorter to read */
  readonly shown: string
  readonly size: number
  /** nanoseconds since the epoch; with `size` it tells a changed file from the same one */
  readonly mtimeNs: bigint
}

/** What lay in a folder and is no regular file: reported, never followed. */
export interface Skipped {
  readonly shown: string
  readonly reason: string
}

export interface Expansion {
  readonly files: readonly FoundFile[]
  readonly skipped: readonly Skipped[]
}

export interface ExpandOptions {
  readonly cwd: string
  readonly roots: ReadonlyMap<string, string>
  readonly resolved: readonly Root[]
  /** only this root may hold them */
  readonly only?: string | undefined
}

/**
 * Files of the given paths: a file is itself, a folder all regular files below it (hidden ones too), anything with
 * glob characters that isn't a path by itself a pattern. Symbolic links and special files inside folders are skipped
 * and reported; named directly they are an error, except a link to a regular file under the same root.
 *
 * Throws SOURCE_MISSING (status 4), SOURCE_NOT_REGULAR or SOURCE_OUTSIDE_ROOT (status 1) before anything is enqueued.
 */
export async function expandPaths(given: readonly string[], o: ExpandOptions): Promise<Expansion> {
  const files = new Map<string, FoundFile>()
  const skipped = new Map<string, Skipped>()
  for (const argument of given) {
    if (argument === '' || argument.includes('\0')) {
      throw new CliError('USAGE', `${JSON.stringify(argument)} is not a path`, { exitStatus: EXIT.usage })
    }
    const found = await expandOrExplain(argument, o)
    for (const file of found.files) files.set(`${file.root}\0${file.path}`, file)
    for (const one of found.skipped) skipped.set(one.shown, one)
  }
  return { files: [...files.values()], skipped: [...skipped.values()] }
}

/** A folder that can't be read is named; its files may still be readable by workers, but nobody could list them here. */
async function expandOrExplain(argument: string, o: ExpandOptions): Promise<Expansion> {
  try {
    return await expandOne(argument, o)
  } catch (error) {
    const errno = errnoOf(error)
    if (errno === undefined) throw error
    throw new CliError('SOURCE_IO', `${printable(argument)} could not be read (${errno})`, {
      exitStatus: EXIT.failed,
      fix: 'correct its rights, or enqueue as a user who may read it',
      cause: error,
    })
  }
}

async function expandOne(argument: string, o: ExpandOptions): Promise<Expansion> {
  const absolute = path.resolve(o.cwd, argument)
  const stats = await lstatOrUndefined(absolute)
  if (stats === undefined) {
    if (isDynamicPattern(argument)) return expandPattern(argument, o)
    throw missingError('SOURCE_MISSING', `${printable(argument)} does not exist`)
  }
  if (stats.isDirectory()) return walk(absolute, o)
  if (stats.isSymbolicLink()) return { files: [await throughLink(absolute, argument, o)], skipped: [] }
  if (!stats.isFile()) throw notRegular(argument)
  const real = path.join(await realpath(path.dirname(absolute)), path.basename(absolute))
  return { files: [await place(real, argument, o)], skipped: [] }
}

async function expandPattern(pattern: string, o: ExpandOptions): Promise<Expansion> {
  const matches = await glob(pattern, {
    cwd: o.cwd,
    absolute: true,
    onlyFiles: false,
    expandDirectories: false,
    followSymbolicLinks: false,
  })
  if (matches.length === 0) throw missingError('SOURCE_MISSING', `nothing matches ${printable(pattern)}`)
  const files: FoundFile[] = []
  const skipped: Skipped[] = []
  for (const match of matches.map((one) => (one.length > 1 ? one.replace(/\/$/, '') : one)).sort()) {
    const stats = await lstatOrUndefined(match)
    // A pattern that ends at folders means their files, as a shell's own expansion would have given the folder.
    if (stats?.isDirectory()) {
      if (/\*\*\/?$/.test(pattern)) continue
      const inner = await walk(match, o)
      files.push(...inner.files)
      skipped.push(...inner.skipped)
    } else if (stats?.isFile()) {
      const real = path.join(await realpath(path.dirname(match)), path.basename(match))
      files.push(await place(real, show(match, o.cwd), o))
    } else {
      skipped.push({
        shown: show(match, o.cwd),
        reason: stats?.isSymbolicLink() ? 'symbolic link' : 'not a regular file',
      })
    }
  }
  return { files, skipped }
}

async function walk(folder: string, o: ExpandOptions): Promise<Expansion> {
  const files: FoundFile[] = []
  const skipped: Skipped[] = []
  const real = await realpath(folder)
  if (placeInRoot(`${real}/.`, o.resolved) === undefined) {
    throw outsideRoots(show(folder, o.cwd), `${real}/x`, o.roots, o.only)
  }
  for await (const { file, entry } of entriesBelow(real)) {
    const shown = show(path.join(folder, path.relative(real, file)), o.cwd)
    if (entry.isFile()) files.push(await place(file, shown, o))
    else skipped.push({ shown, reason: entry.isSymbolicLink() ? 'symbolic link' : 'not a regular file' })
  }
  return { files, skipped }
}

/** Everything below a folder but the folders themselves, by name; links are not followed. */
async function* entriesBelow(folder: string): AsyncGenerator<{ readonly file: string; readonly entry: Dirent }> {
  const entries = await readdir(folder, { withFileTypes: true })
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const file = path.join(folder, entry.name)
    if (entry.isDirectory()) yield* entriesBelow(file)
    else yield { file, entry }
  }
}

/** A link named directly stands for its target, as long as that lies under the root that holds the link. */
async function throughLink(link: string, argument: string, o: ExpandOptions): Promise<FoundFile> {
  let target: string
  try {
    target = await realpath(link)
  } catch (error) {
    if (!hasCode(error, 'ENOENT', 'ENOTDIR', 'ELOOP')) throw error
    const to = await readlink(link)
    throw missingError('SOURCE_MISSING', `${printable(argument)} is a link to ${printable(to)}, which does not exist`)
  }
  const own = placeInRoot(path.join(await realpath(path.dirname(link)), path.basename(link)), o.resolved)
  const there = placeInRoot(target, o.resolved)
  if (there === undefined || (own !== undefined && own.root !== there.root)) {
    const out = outsideRoots(argument, target, o.roots, o.only)
    throw new CliError(out.code, `${printable(argument)} is a link out of its root, to ${printable(target)}`, {
      exitStatus: out.exitStatus,
      ...(there !== undefined
        ? { fix: `name the file itself: ${printable(target)}` }
        : out.fix
          ? { fix: out.fix }
          : {}),
    })
  }
  const stats = await lstatOrUndefined(target)
  if (!stats?.isFile()) throw notRegular(argument)
  return place(target, argument, o)
}

async function place(real: string, shown: string, o: ExpandOptions): Promise<FoundFile> {
  const placement = placeInRoot(real, o.resolved)
  if (placement === undefined) throw outsideRoots(shown, real, o.roots, o.only)
  if (!isText(placement.path)) {
    const message = `${printable(shown)}: its name is not UTF-8, which a job can't carry`
    throw new CliError('SOURCE_NAME', message, { exitStatus: EXIT.failed, fix: 'rename it' })
  }
  const stats = await lstat(real, { bigint: true })
  return { ...placement, shown, size: Number(stats.size), mtimeNs: stats.mtimeNs }
}

/** Node decodes file names as UTF-8 and marks what isn't with U+FFFD: such a name doesn't lead back to its file. */
function isText(name: string): boolean {
  return !name.includes('\ufffd')
}

async function lstatOrUndefined(file: string) {
  try {
    return await lstat(file)
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR')) return undefined
    throw error
  }
}

function notRegular(argument: string): CliError {
  return new CliError('SOURCE_NOT_REGULAR', `${printable(argument)} is not a regular file`, { exitStatus: EXIT.failed })
}

function show(absolute: string, cwd: string): string {
  const relative = path.relative(cwd, absolute)
  return relative !== '' && !relative.startsWith('../../..') ? relative : absolute
}
