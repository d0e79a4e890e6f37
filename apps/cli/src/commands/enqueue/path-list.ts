import type { Readable } from 'node:stream'
import { CliError } from '../../cli-error.js'
import { EXIT } from '../../exit-status.js'
import { isText, NOT_TEXT, shownBytes } from '../../files/bytes-names.js'
import type { Skipped } from '../../files/expand.js'

/** PATH_MAX of Linux: no valid path is longer. */
const LONGEST = 4096

/** An entry of a list: a path, or a name that is not UTF-8, as it is shown. */
export type ListEntry =
  | { readonly path: string; readonly unnameable?: undefined }
  | { readonly path?: undefined; readonly unnameable: Skipped }

/**
 * The paths of a list as they come, one a line or each ended by NUL. They are read as bytes: an entry that is not UTF-8
 * is marked as such and never guessed. Empty entries are left out. Throws USAGE for an entry that is longer than any
 * path.
 */
export async function* readPathList(
  list: Readable,
  o: { readonly nul: boolean },
): AsyncGenerator<ListEntry, void, undefined> {
  const end = o.nul ? 0 : 10
  let rest = Buffer.alloc(0)
  for await (const chunk of list as AsyncIterable<Buffer | string>) {
    const bytes = Buffer.concat([rest, typeof chunk === 'string' ? Buffer.from(chunk) : chunk])
    let from = 0
    for (let at = bytes.indexOf(end); at >= 0; at = bytes.indexOf(end, from)) {
      yield* entryOf(bytes.subarray(from, at), o.nul)
      from = at + 1
    }
    rest = bytes.subarray(from)
    if (rest.length > LONGEST) throw tooLong(o.nul)
  }
  yield* entryOf(rest, o.nul)
}

function* entryOf(bytes: Buffer, nul: boolean): Generator<ListEntry> {
  if (bytes.length === 0) return
  if (bytes.length > LONGEST) throw tooLong(nul)
  if (isText(bytes)) yield { path: bytes.toString('utf8') }
  else yield { unnameable: { shown: shownBytes(bytes), reason: NOT_TEXT } }
}

function tooLong(nul: boolean): CliError {
  return new CliError('USAGE', `an entry of the list has more than ${LONGEST} bytes; no path is that long`, {
    exitStatus: EXIT.usage,
    fix: nul ? 'end each path with NUL (find -print0), or leave out -0' : 'one path a line, or -0 for find -print0',
  })
}
