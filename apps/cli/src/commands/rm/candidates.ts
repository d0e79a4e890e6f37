import { getFile } from '@sealfleet/records/files'
import { listHolds } from '@sealfleet/records/deletion'
import type { FileRow, FileState, Records } from '@sealfleet/records'
import { CliError } from '../../cli-error.js'
import { combineStatuses, EXIT } from '../../exit-status.js'
import { deletionText } from '../../files/deletion.js'
import { humanTime } from '../../output/units.js'
import { findFileId, noSuchFile } from '../../input/file-id.js'
import { printable } from '../../output/printable.js'

/** A file that may be removed, or was removed before. */
export interface Candidate {
  readonly file: FileRow
  /** Bytes of plaintext; null when it is DELETED already. */
  readonly size: number | null
}

/**
 * The named files, each once. All are checked before the first is changed: when one cannot be removed, none is.
 * @throws NOT_FOUND, HELD, BAD_STATE: the code of the first such file, a sentence for each
 */
export async function examineFiles(
  records: Records,
  given: readonly string[],
  signal: AbortSignal,
): Promise<readonly Candidate[]> {
  const candidates = new Map<string, Candidate>()
  const refusals: CliError[] = []
  for (const one of given) {
    signal.throwIfAborted()
    const fileId = await findFileId(records, one, ['STORED'])
    const found = await getFile(records, fileId)
    const refusal = found === undefined ? noSuchFile(one, fileId) : await refusalOf(records, found.file)
    if (refusal instanceof CliError) refusals.push(refusal)
    else if (found !== undefined)
      candidates.set(fileId, { file: found.file, size: found.committed?.plaintextLength ?? null })
  }
  const [first] = refusals
  if (first === undefined) return [...candidates.values()]
  const messages = refusals.map(({ message }) => message)
  const none = given.length === 1 ? '' : '; nothing was removed'
  throw new CliError(first.code, `${messages.join('; ')}${none}`, {
    exitStatus: combineStatuses(refusals.map(({ exitStatus }) => exitStatus)),
    ...(first.fix === undefined ? {} : { fix: first.fix }),
  })
}

async function refusalOf(records: Records, file: FileRow): Promise<CliError | undefined> {
  if (file.state === 'DELETED') return undefined
  if (file.state !== 'STORED') return notStored(file.id, file.state)
  const holds = await listHolds(records, { domain: file.domain })
  const hold = holds.find(({ fileId }) => fileId === null || fileId === file.id)
  return hold === undefined ? undefined : heldError(file.id, hold)
}

export function heldError(
  fileId: string,
  hold: { readonly id: string; readonly placedBy: string; readonly placedAt: Date; readonly reason: string },
): CliError {
  const message = `file ${fileId} is under hold ${hold.id}, placed at ${humanTime(hold.placedAt)} by ${printable(hold.placedBy)}: ${printable(hold.reason)}`
  return new CliError('HELD', message, {
    exitStatus: EXIT.failed,
    fix: 'see `sealfleet holds list`; when the hold may go: `sealfleet holds release HOLD --reason TEXT`',
  })
}

export function notStored(fileId: string, state: FileState): CliError {
  return new CliError('BAD_STATE', `file ${fileId} is ${state}: there is nothing of it to remove`, {
    exitStatus: EXIT.failed,
    fix: FIXES[state] ?? `sealfleet trace ${fileId}`,
  })
}

const FIXES: Partial<Record<FileState, string>> = {
  DEAD: 'a dead file is given up with `sealfleet dlq discard ID --reason TEXT`; what it left in the store then goes',
  QUEUED: 'remove it when it is stored; if it dies, give it up with `sealfleet dlq discard ID --reason TEXT`',
  RUNNING: 'remove it when it is stored; if it dies, give it up with `sealfleet dlq discard ID --reason TEXT`',
}

/** The text for a file that was DELETED before this command. */
export function beforeText({ file }: Candidate): string {
  return deletionText(file) ?? 'deleted before'
}
