import { usageError } from '../../cli-error.js'
import { printable } from '../../output/printable.js'
import { count } from '../../output/units.js'
import type { SelectedFile } from '../../input/selection.js'

/** What to restore, and which older files of the same source path stay where they are. */
export interface RestorePlan {
  readonly files: readonly SelectedFile[]
  readonly older: readonly SelectedFile[]
}

/**
 * One file for each root and path: the one accepted last, since the same path may have been stored again after a change.
 * `selected` comes newest first.
 */
export function planRestore(selected: readonly SelectedFile[]): RestorePlan {
  const seen = new Set<string>()
  const files: SelectedFile[] = []
  const older: SelectedFile[] = []
  for (const file of selected) {
    const source = `${file.root}\0${file.path}`
    if (seen.has(source)) older.push(file)
    else files.push(file)
    seen.add(source)
  }
  return { files: files.toReversed(), older }
}

/** How stored paths become paths below the output folder. */
export interface StripOptions {
  /** whole folders at the beginning, with or without a slash at the end */
  readonly strip?: string
  /** number of folders to remove from the beginning */
  readonly stripComponents?: number
}

/**
 * The path below the output folder for each stored path. Throws a usage error, before anything is written, for paths
 * that would become empty or are not below the prefix, and for two files that would get one name.
 */
export function outputPaths(files: readonly SelectedFile[], o: StripOptions): (stored: string) => string {
  if (o.strip !== undefined && o.stripComponents !== undefined)
    throw usageError('give --strip or --strip-components, not both')
  const pathOf = stripper(o)
  const unfit = files.filter(({ path }) => pathOf(path) === undefined)
  const [first] = unfit
  if (first !== undefined) {
    const why = o.strip === undefined ? 'would have no name left' : `do not lie below ${printable(o.strip)}`
    throw usageError(
      `${count(unfit.length, 'path')} of ${files.length} ${why}, for example ${printable(first.path)}`,
      'strip less, or choose fewer files with --prefix',
    )
  }
  const taken = new Map<string, SelectedFile>()
  for (const file of files) {
    const output = pathOf(file.path) ?? ''
    const other = taken.get(output)
    if (other !== undefined) {
      const both = [other, file].map(({ root, path }) => printable(`${root}:${path}`)).join(' and ')
      throw usageError(`${both} would be one file`, 'choose one of them with --root or --prefix, or strip less')
    }
    taken.set(output, file)
  }
  return (stored) => pathOf(stored) ?? stored
}

function stripper({ strip, stripComponents: n = 0 }: StripOptions): (stored: string) => string | undefined {
  if (strip === undefined && n === 0) return (stored) => stored
  if (strip === undefined) {
    return (stored) => stored.split('/').slice(n).join('/') || undefined
  }
  const prefix = `${strip.replace(/\/+$/, '')}/`
  return (stored) => (stored.startsWith(prefix) ? stored.slice(prefix.length) || undefined : undefined)
}
