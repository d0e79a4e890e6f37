import { isDenied, refusesReading } from '@sealfleet/failures'
import type { BigIntStats, readdir } from 'node:fs'
import { lstat, readlink } from 'node:fs/promises'
import path from 'node:path'
import { glob, isDynamicPattern } from 'tinyglobby'
import { CliError, missingError } from '../cli-error.js'
import { EXIT } from '../exit-status.js'
import { printable } from '../output/printable.js'
import { bytesLost, PatternNames, realText } from './bytes-names.js'
import { entriesBelow, EntryError } from './entries.js'
import { errnoOf, hasCode, mayNotBeRead } from './errno.js'
import { OpenFolder } from './open-folder.js'
import { outsideRoots, placeInRoot, type Placement, type Root } from './roots.js'

/** A file found, as it is named to the queue and to people. */
export interface FoundFile extends Placement {
  /** as people know it: relative to the working folder where that is shorter to read */
  readonly shown: string
  readonly size: number
  /** nanoseconds since the epoch; with `size` it tells a changed file from the same one */
  readonly mtimeNs: bigint
}

/** Entries of a folder that are not regular files: reported, never followed. */
export interface Skipped {
  readonly shown: string
  readonly reason: string
}

export interface Expansion {
  readonly files: readonly FoundFile[]
  readonly skipped: readonly Skipped[]
  /** Files and folders whose names are not UTF-8: a job cannot carry them. Shown with the other bytes as `\xNN`. */
  readonly unnameable: readonly Skipped[]
}

export interface ExpandOptions {
  readonly cwd: string
  readonly roots: ReadonlyMap<string, string> & { readonly refuseHardLinks?: ReadonlySet<string> }
  readonly resolved: readonly Root[]
  /** only this root may hold them */
  readonly only?: string | undefined
  /** paths stand for themselves, and are no patterns */
  readonly literal?: boolean
}

/**
 * Files of the given paths: a file is itself, a folder all regular files below it (hidden ones too), anything with
 * glob characters that isn't a path by itself a pattern. Symbolic links and special files inside folders are skipped
 * and reported; named directly they are an error, except a link to a regular file under the same root.
 *
 * Folders are read through descriptors, so that a folder swapped for a link meanwhile does not lead elsewhere. A file
 * that its root refuses (hard links) is skipped in folders and an error when it is named.
 *
 * Throws SOURCE_MISSING (status 4), SOURCE_NOT_REGULAR, SOURCE_HARD_LINKED or SOURCE_OUTSIDE_ROOT (status 1) before anything
 * is enqueued.
 */
export async function expandPaths(given: readonly string[], o: ExpandOptions): Promise<Expansion> {
  const files = new Map<string, FoundFile>()
  const skipped = new Map<string, Skipped>()
  const unnameable = new Map<string, Skipped>()
  for (const argument of given) {
    if (argument === '' || argument.includes('\0')) {
      throw new CliError('USAGE', `${JSON.stringify(argument)} is not a path`, { exitStatus: EXIT.usage })
    }
    const found = await expandOrExplain(argument, o)
    for (const file of found.files) files.set(`${file.root}\0${file.path}`, file)
    for (const one of found.skipped) skipped.set(one.shown, one)
    for (const one of found.unnameable) unnameable.set(one.shown, one)
  }
  return { files: [...files.values()], skipped: [...skipped.values()], unnameable: [...unnameable.values()] }
}

/**
 * Names what cannot be read, and the user without the right. Workers may have it, but the files cannot be listed here.
 */
async function expandOrExplain(argument: string, o: ExpandOptions): Promise<Expansion> {
  try {
    return await expandOne(argument, o)
  } catch (error) {
    const inner = error instanceof EntryError ? error : undefined
    const cause = inner?.cause ?? error
    const errno = errnoOf(cause)
    if (errno === undefined) throw error
    const where = inner?.where ?? path.resolve(o.cwd, argument)
    const refuses = isDenied(cause) ? (refusesReading(where) ?? where) : undefined
    const message =
      refuses === undefined ? `${printable(show(where, o.cwd))} could not be read` : mayNotBeRead(show(refuses, o.cwd))
    throw new CliError('SOURCE_IO', `${message} (${errno})`, {
      exitStatus: EXIT.failed,
      fix: 'correct its permissions (a folder needs r and x), or enqueue as a user who may read it',
      cause,
    })
  }
}

async function expandOne(argument: string, o: ExpandOptions): Promise<Expansion> {
  const absolute = path.resolve(o.cwd, argument)
  const stats = await lstatOrUndefined(absolute)
  if (stats === undefined) {
    if (o.literal !== true && isDynamicPattern(argument)) return expandPattern(argument, o)
    throw missingError('SOURCE_MISSING', `${printable(argument)} does not exist${bytesLost(argument)}`)
  }
  if (stats.isDirectory()) return walk(absolute, o)
  if (stats.isSymbolicLink()) return only(await throughLink(absolute, argument, o))
  if (!stats.isFile()) throw notRegular(argument)
  const real = path.join(await realText(path.dirname(absolute), argument), path.basename(absolute))
  return only(orThrow(place(real, argument, stats, o)))
}

function only(file: FoundFile): Expansion {
  return { files: [file], skipped: [], unnameable: [] }
}

async function expandPattern(pattern: string, o: ExpandOptions): Promise<Expansion> {
  const names = new PatternNames(pattern)
  const matches = await glob(pattern, {
    cwd: o.cwd,
    absolute: true,
    onlyFiles: false,
    expandDirectories: false,
    followSymbolicLinks: false,
    fs: { readdir: names.readdir as unknown as typeof readdir },
  })
  const [unread] = names.unread
  if (unread !== undefined) throw new EntryError(unread.folder, unread.error)
  const found = new Found()
  for (const match of matches.map((one) => (one.length > 1 ? one.replace(/\/$/, '') : one)).sort()) {
    found.unnameable.push(...names.lost(match).map(({ reason, file }) => ({ shown: show(file, o.cwd), reason })))
    const stats = await lstatOrUndefined(match)
    const shown = show(match, o.cwd)
    if (stats === undefined) continue
    // A pattern that ends at folders means their files, as a shell's own expansion would have given the folder.
    if (stats.isDirectory()) {
      if (!/\*\*\/?$/.test(pattern)) found.addAll(await walk(match, o))
    } else if (stats.isFile()) {
      const real = path.join(await realText(path.dirname(match), shown), path.basename(match))
      found.add(place(real, shown, stats, o))
    } else {
      found.skipped.push({ shown, reason: stats.isSymbolicLink() ? 'symbolic link' : 'not a regular file' })
    }
  }
  found.unnameable.push(...names.folders.map(({ reason, file }) => ({ shown: show(file, o.cwd), reason })))
  if (found.unnameable.length === 0 && matches.length === 0)
    throw missingError('SOURCE_MISSING', `nothing matches ${printable(pattern)}`)
  return found
}

async function walk(folder: string, o: ExpandOptions): Promise<Expansion> {
  const found = new Found()
  await using opened = await OpenFolder.open(folder)
  // The real place of the open folder; its path could lead elsewhere by now.
  const real = await realText(opened.at('.'), show(folder, o.cwd))
  if (placeInRoot(`${real}/.`, o.resolved) === undefined) {
    throw outsideRoots(show(folder, o.cwd), `${real}/x`, o.roots, o.only)
  }
  for await (const entry of entriesBelow(opened)) {
    const inner = path.join(entry.folder.path, entry.name)
    const shown = show(inner, o.cwd)
    if (entry.stats === undefined) found.unnameable.push({ shown, reason: entry.reason })
    else if (entry.reason !== undefined) found.skipped.push({ shown, reason: entry.reason })
    else found.add(place(path.join(real, path.relative(opened.path, inner)), shown, entry.stats, o))
  }
  return found
}

/** What was found on the way. */
class Found implements Expansion {
  readonly files: FoundFile[] = []
  readonly skipped: Skipped[] = []
  readonly unnameable: Skipped[] = []

  /** A file in a folder or of a pattern; one that its root refuses is skipped, as links are. */
  add(one: FoundFile | CliError): void {
    if (!(one instanceof CliError)) this.files.push(one)
    else if (one instanceof HardLinked) this.skipped.push({ shown: one.shown, reason: HARD_LINKED })
    else throw one
  }

  addAll({ files, skipped, unnameable }: Expansion): void {
    this.files.push(...files)
    this.skipped.push(...skipped)
    this.unnameable.push(...unnameable)
  }
}

/** A link named directly stands for its target, as long as that lies under the root that holds the link. */
async function throughLink(link: string, argument: string, o: ExpandOptions): Promise<FoundFile> {
  let target: string
  try {
    target = await realText(link, argument)
  } catch (error) {
    if (!hasCode(error, 'ENOENT', 'ENOTDIR', 'ELOOP')) throw error
    const to = await readlink(link)
    throw missingError('SOURCE_MISSING', `${printable(argument)} is a link to ${printable(to)}, which does not exist`)
  }
  const own = placeInRoot(path.join(await realText(path.dirname(link), argument), path.basename(link)), o.resolved)
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
  return orThrow(place(target, argument, stats, o))
}

const HARD_LINKED = 'it has other names (hard links), which its root refuses'

class HardLinked extends CliError {
  readonly shown: string

  constructor(shown: string) {
    super('SOURCE_HARD_LINKED', `${printable(shown)}: ${HARD_LINKED}`, { exitStatus: EXIT.failed, fix: 'copy it' })
    this.shown = shown
  }
}

function place(real: string, shown: string, stats: BigIntStats, o: ExpandOptions): FoundFile | CliError {
  const placement = placeInRoot(real, o.resolved)
  if (placement === undefined) return outsideRoots(shown, real, o.roots, o.only)
  if (stats.nlink > 1n && o.roots.refuseHardLinks?.has(placement.root) === true) return new HardLinked(shown)
  return { ...placement, shown, size: Number(stats.size), mtimeNs: stats.mtimeNs }
}

function orThrow(one: FoundFile | CliError): FoundFile {
  if (one instanceof CliError) throw one
  return one
}

async function lstatOrUndefined(file: string) {
  try {
    return await lstat(file, { bigint: true })
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
