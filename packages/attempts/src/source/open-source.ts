import { constants, type BigIntStats } from 'node:fs'
import { open, readlink, realpath, type FileHandle } from 'node:fs/promises'
import path from 'node:path'

import { effectiveUser, isDenied, refusesReading } from '@sealfleet/failures'

import { SourceError, sourceErrorFrom } from './errors.js'

/** Where a file is read from: a root that the operator named, and a path below it. */
export interface SourceLocation {
  readonly root: string
  readonly path: string
}

/**
 * What must not change between the first byte read and the commit. Times are nanoseconds since the epoch. ctime is
 * in it since a writer can set mtime back, but not ctime.
 */
export interface SourceFingerprint {
  readonly dev: bigint
  readonly ino: bigint
  readonly size: bigint
  readonly mtimeNs: bigint
  readonly ctimeNs: bigint
}

/** An open source. Dispose closes the descriptor. */
export interface Source extends AsyncDisposable {
  readonly handle: FileHandle
  readonly where: string
  /** Bytes, as the file system said when the source was opened. */
  readonly size: number
  readonly fingerprint: SourceFingerprint
}

/** ARCHITECTURE: L ≤ 2^44. */
const LARGEST = 2n ** 44n

/** open(2): a descriptor that names a file without opening it, so no device or FIFO notices. Node has no constant for it. */
const O_PATH = 0o10000000
const LOOK = O_PATH | constants.O_NOFOLLOW
// By now it is a regular file; if it is not, opening must neither wait nor acquire a terminal.
const READ = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY

/** The roots that jobs may name, and which of them refuse a file with several names (hard links). */
export type SourceRoots = ReadonlyMap<string, string> & { readonly refuseHardLinks?: ReadonlySet<string> }

/**
 * Opens a source below its named root.
 *
 * The path's target is examined first, with O_PATH and O_NOFOLLOW: a device, a FIFO or a socket is refused unopened.
 * Where that descriptor really points is read back from the kernel (`/proc/self/fd/N`): a symbolic link in the middle of the
 * path may stay below the root, but never leave it. Then that very file is opened through the descriptor.
 * Returns when it is open for reading; throws SourceError otherwise, with nothing left open.
 */
export async function openSource(roots: SourceRoots, location: SourceLocation): Promise<Source> {
  const where = `${location.root}:${location.path}`
  const root = roots.get(location.root)
  if (root === undefined) {
    throw new SourceError(
      'ROOT_UNKNOWN',
      `source ${where}: no root is named "${location.root}" here; add it to SEALFLEET_ROOTS of the workers`,
    )
  }
  assertRelative(location.path, where)
  const realRoot = await rootFolder(root, location.root)
  let handle: FileHandle | undefined
  try {
    handle = await openLooked(path.join(realRoot, location.path), realRoot, where)
    const stats = await handle.stat({ bigint: true })
    if (stats.nlink > 1n && roots.refuseHardLinks?.has(location.root) === true) {
      throw new SourceError('SOURCE_HARD_LINKED', `source ${where} has ${stats.nlink} names (hard links)`)
    }
    if (stats.size > LARGEST) {
      throw new SourceError('SOURCE_TOO_LARGE', `source ${where} has ${stats.size} bytes; the format ends at 2^44`)
    }
    const opened = handle
    return {
      handle: opened,
      where,
      size: Number(stats.size),
      fingerprint: fingerprintOf(stats),
      [Symbol.asyncDispose]: () => opened.close(),
    }
  } catch (error) {
    await handle?.close()
    throw sourceErrorFrom(error, where, isDenied(error) ? refusedBelow(realRoot, location) : undefined)
  }
}

async function openLooked(file: string, realRoot: string, where: string): Promise<FileHandle> {
  const looked = await open(file, LOOK)
  try {
    const stats = await looked.stat()
    if (!stats.isFile()) throw new SourceError('SOURCE_NOT_REGULAR', `source ${where} is not a regular file`)
    await assertBelow(looked, realRoot, where)
    return await open(`/proc/self/fd/${looked.fd}`, READ)
  } finally {
    await looked.close()
  }
}

/** Throws SOURCE_CHANGED unless the open source is, by inode, size and times, what it was when it was opened. */
export async function assertUnchanged(source: Source): Promise<void> {
  let now: SourceFingerprint
  try {
    now = fingerprintOf(await source.handle.stat({ bigint: true }))
  } catch (error) {
    throw sourceErrorFrom(error, source.where)
  }
  const was = source.fingerprint
  const changed = (['dev', 'ino', 'size', 'mtimeNs', 'ctimeNs'] as const).filter((field) => was[field] !== now[field])
  if (changed.length > 0) {
    throw new SourceError('SOURCE_CHANGED', `source ${source.where} changed while it was read (${changed.join(', ')})`)
  }
}

/** For the record: JSON has no 64-bit integers, so nanoseconds travel as decimal strings. */
export function fingerprintJson(fingerprint: SourceFingerprint): Record<string, string> {
  return Object.fromEntries(Object.entries(fingerprint).map(([name, value]) => [name, String(value)]))
}

/** The real path of a root. A missing root says nothing about its files: it may just not be mounted. */
async function rootFolder(root: string, name: string): Promise<string> {
  try {
    return await realpath(root)
  } catch (error) {
    throw rootUnavailable(root, name, error)
  }
}

/** Why a root's folder cannot be reached. Of the folders above it only the name of the refusing one is shown. */
export function rootUnavailable(root: string, name: string, cause: unknown): SourceError {
  const refuses = isDenied(cause) ? refusesReading(root) : undefined
  const where = refuses === root ? 'it' : `the folder ${JSON.stringify(path.basename(refuses ?? '') || '/')} above it`
  const why = refuses === undefined ? 'is not there' : `is out of reach: ${where} may not be read by ${effectiveUser()}`
  return new SourceError('ROOT_UNAVAILABLE', `the folder of root "${name}" ${why} on this worker`, { cause })
}

/** The file or folder that refuses a source, named below the root as the source is. */
function refusedBelow(realRoot: string, location: SourceLocation): string {
  const file = path.join(realRoot, location.path)
  const relative = path.relative(realRoot, refusesReading(file) ?? file)
  return relative === '' ? `the folder of root "${location.root}"` : `${location.root}:${relative}`
}

function assertRelative(relative: string, where: string): void {
  const segments = relative.split('/')
  if (relative.includes('\0') || segments.some((s) => s === '' || s === '.' || s === '..')) {
    throw new SourceError('SOURCE_OUTSIDE_ROOT', `source ${JSON.stringify(where)} is not a plain relative path`)
  }
}

async function assertBelow(handle: FileHandle, realRoot: string, where: string): Promise<void> {
  const actual = await readlink(`/proc/self/fd/${handle.fd}`)
  const prefix = realRoot.endsWith('/') ? realRoot : `${realRoot}/`
  if (!actual.startsWith(prefix)) {
    throw new SourceError('SOURCE_OUTSIDE_ROOT', `source ${where} leads out of its root through a link`)
  }
}

function fingerprintOf(stats: BigIntStats): SourceFingerprint {
  return { dev: stats.dev, ino: stats.ino, size: stats.size, mtimeNs: stats.mtimeNs, ctimeNs: stats.ctimeNs }
}
