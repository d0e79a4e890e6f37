import type { Readable } from 'node:stream'
import { CliError, missingError } from '../cli-error.js'
import { EXIT } from '../exit-status.js'
import { isText, NOT_TEXT, shownBytes } from '../files/bytes-names.js'
import type { Skipped } from '../files/expand.js'

/** PATH_MAX of Linux: no path that the system takes is longer. */
const LONGEST = 4096

export interface PathList {
  readonly paths: readonly string[]
  /** entries that are not UTF-8 */
  readonly unnameable: readonly Skipped[]
}

/**
 * The paths of a list, one a line or each ended by NUL, as bytes: what is not UTF-8 is told apart and never guessed. Empty
 * entries are left out. Throws USAGE for an entry that is longer than any path, SOURCE_MISSING for an empty list.
 */
export async function readPathList(list: Readable, o: { readonly nul: boolean }): Promise<PathList> {
  const end = o.nul ? 0 : 10
  const paths: string[] = []
  const unnameable: Skipped[] = []
  const add = (entry: Buffer): void => {
    if (entry.length === 0) return
    if (entry.length > LONGEST) throw tooLong(o.nul)
    if (isText(entry)) paths.push(entry.toString('utf8'))
    else unnameable.push({ shown: shownBytes(entry), reason: NOT_TEXT })
  }
  let rest = Buffer.alloc(0)
  for await (const chunk of list as AsyncIterable<Buffer | string>) {
    const bytes = Buffer.concat([rest, typeof chunk === 'string' ? Buffer.from(chunk) : chunk])
    let from = 0
    for (let at = bytes.indexOf(end); at >= 0; at = bytes.indexOf(end, from)) {
      add(bytes.subarray(from, at))
      from = at + 1
    }
    rest = bytes.subarray(from)
    if (rest.length > LONGEST) throw tooLong(o.nul)
  }
  add(rest)
  if (paths.length + unnameable.length === 0)
    throw missingError('SOURCE_MISSING', 'nothing to enqueue: the list on standard input is empty')
  return { paths, unnameable }
}

function tooLong(nul: boolean): CliError {
  return new CliError('USAGE', `an entry of the list has more than ${LONGEST} bytes, which no path has`, {
    exitStatus: EXIT.usage,
    fix: nul ? 'end each path with NUL (find -print0), or leave out -0' : 'one path a line, or -0 for find -print0',
  })
}
