import { realpath } from 'node:fs/promises'
import path from 'node:path'
import { CliError, usageError } from '../cli-error.js'
import { EXIT } from '../exit-status.js'
import { printable } from '../output/printable.js'

/** A configured root with where it really is; `real` is undefined when its folder doesn't exist on this machine. */
export interface Root {
  readonly name: string
  readonly path: string
  readonly real: string | undefined
}

/** A file as a job names it. */
export interface Placement {
  readonly root: string
  /** relative to the root, with `/`, no `.`, `..` or empty component */
  readonly path: string
}

/** The roots with their real paths, the deepest first, so that the first match is the longest prefix. */
export async function resolveRoots(roots: ReadonlyMap<string, string>, only?: string): Promise<readonly Root[]> {
  if (only !== undefined && !roots.has(only)) {
    throw usageError(`no root is named "${only}"; ${known(roots)}`, addRoot('/absolute/folder', only, roots))
  }
  const found = await Promise.all(
    [...roots]
      .filter(([name]) => only === undefined || name === only)
      .map(async ([name, where]): Promise<Root> => ({ name, path: where, real: await realOrUndefined(where) })),
  )
  return found.sort((a, b) => (b.real ?? '').length - (a.real ?? '').length)
}

/** The root and relative path of an absolute real path; undefined when no root holds it. */
export function placeInRoot(real: string, roots: readonly Root[]): Placement | undefined {
  for (const root of roots) {
    if (root.real === undefined) continue
    const prefix = root.real === '/' ? '/' : `${root.real}/`
    if (real.startsWith(prefix)) return { root: root.name, path: real.slice(prefix.length) }
  }
  return undefined
}

/** The error for a path outside all roots: names the roots, and how to add one. */
export function outsideRoots(file: string, real: string, roots: ReadonlyMap<string, string>, only?: string): CliError {
  const among = only === undefined ? 'no root holds it' : `root "${only}" doesn't hold it`
  return new CliError('SOURCE_OUTSIDE_ROOT', `${printable(file)}: ${among}; ${known(roots)}`, {
    exitStatus: EXIT.failed,
    fix: addRoot(path.dirname(real), undefined, roots),
  })
}

function known(roots: ReadonlyMap<string, string>): string {
  if (roots.size === 0) return 'no root is configured'
  const list = [...roots].map(([name, where]) => `${name}=${where}`).join(', ')
  return `configured ${roots.size === 1 ? 'is' : 'are'} ${list}`
}

function addRoot(folder: string, name: string | undefined, roots: ReadonlyMap<string, string>): string {
  const entry = `${name ?? freeName(folder, roots)}=${printable(folder)}`
  const all = [...[...roots].map(([n, where]) => `${n}=${where}`), entry].join(',')
  return `add a root, here and for every worker (then restart them): SEALFLEET_ROOTS='${all}'`
}

/** The folder's own name as far as a root may be called so. */
function freeName(folder: string, roots: ReadonlyMap<string, string>): string {
  const base =
    path
      .basename(folder)
      .toLowerCase()
      .replace(/[^a-z0-9]+/g, '-')
      .replace(/^-+|-+$/g, '')
      .slice(0, 50) || 'data'
  let name = base
  for (let n = 2; roots.has(name); n += 1) name = `${base}-${n}`
  return name
}

async function realOrUndefined(folder: string): Promise<string | undefined> {
  try {
    return await realpath(folder)
  } catch {
    return undefined // an absent folder holds nothing; `doctor` reports it
  }
}
