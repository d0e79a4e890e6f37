import { toFileId } from '@sealfleet/queue'
import { getFile, listFiles } from '@sealfleet/records/files'
import type { FileState, Records } from '@sealfleet/records'
import { CliError, missingError } from '../cli-error.js'
import { EXIT } from '../exit-status.js'
import { printable } from '../output/printable.js'
import { humanTime } from '../output/units.js'

/** A source as lists print it: the root's name and the path below it. */
const SOURCE = /^([a-z0-9-]{1,64}):([^]*)$/
/** An error lists this many ids. */
const LISTED = 20

/** `root:path` in its two parts; undefined for what is not of that form. */
export function parseSource(text: string): { readonly root: string; readonly path: string } | undefined {
  const [, root, path] = SOURCE.exec(text) ?? []
  return root === undefined || path === undefined ? undefined : { root, path }
}

/** The file id: a UUID, or derived from the foreign id the file was enqueued with (`--id`). */
function fileIdOf(given: string): string {
  return toFileId(given)
}

/**
 * The id of the named file: by its id, its foreign id, or its source as `list` prints it (`inbox:2026/a.pdf`). A source
 * that was sealed several times is accepted when only one of its files is in a state of `wanted`.
 * @throws CliError AMBIGUOUS (status 2) with the ids; NOT_FOUND (status 4)
 */
export async function findFileId(records: Records, given: string, wanted?: readonly FileState[]): Promise<string> {
  const source = parseSource(given)
  const byId = fileIdOf(given)
  if (source === undefined || source.path === '') return byId
  const { files, nextCursor } = await listFiles(records, { ...source, limit: 1_000, newestFirst: true })
  if ((await getFile(records, byId)) !== undefined) {
    if (files.length === 0) return byId
    throw ambiguous(given, [`${byId}  by that text as its foreign id`, ...files.map(lineOf)], nextCursor !== null)
  }
  const fit = wanted === undefined ? files : files.filter(({ file }) => wanted.includes(file.state))
  const [only, second] = fit.length > 0 ? fit : files
  if (only === undefined) return byId
  if (second === undefined) return only.file.id
  throw ambiguous(given, (fit.length > 0 ? fit : files).map(lineOf), nextCursor !== null)
}

type Listed = Awaited<ReturnType<typeof listFiles>>['files'][number]

function lineOf({ file }: Listed): string {
  return `${file.id}  ${file.state}  accepted ${humanTime(file.acceptedAt)}`
}

function ambiguous(given: string, lines: readonly string[], more: boolean): CliError {
  const rest = lines.length - LISTED
  const count = `${lines.length}${more ? ' or more' : ''}`
  return new CliError('AMBIGUOUS', `${printable(given)} names ${count} files`, {
    exitStatus: EXIT.usage,
    lines: rest > 0 ? [...lines.slice(0, LISTED), `and ${rest} more`] : lines,
    fix: 'give the id of the right one',
  })
}

export function noSuchFile(given: string, fileId: string): Error {
  const shown = printable(given)
  if (parseSource(given) !== undefined)
    return missingError('NOT_FOUND', `no file was accepted from ${shown}, and none has that id`, 'see `sealfleet list`')
  const also = given.toLowerCase() === fileId ? '' : ` (as a foreign id: ${fileId})`
  return missingError('NOT_FOUND', `no file has the id ${shown}${also}`, 'see `sealfleet list`')
}
