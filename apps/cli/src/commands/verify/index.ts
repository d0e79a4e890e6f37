import type { Command } from 'commander'
import { missingError, usageError } from '../../cli-error.js'
import type { CommandContext, CommonOptions } from '../../context.js'
import { describeError, type ErrorReport } from '../../describe-error.js'
import { combineStatuses, EXIT, type ExitStatus } from '../../exit-status.js'
import { createProgress } from '../../output/progress.js'
import { printable } from '../../output/printable.js'
import { table } from '../../output/table.js'
import { count, humanSize } from '../../output/units.js'
import { verifyStoredFile } from '@sealfleet/objects'
import { choosesMany, selectStored, type SelectedFile, type SelectionOptions } from '../../input/selection.js'
import { forEachConcurrent } from '@sealfleet/runtime'
import { openFileStore, type FileStore } from '../../services/stored.js'
import { commonOptions, perform, type Runner } from '../../verb.js'

interface VerifyOptions extends CommonOptions, SelectionOptions {}

const WIDTH = 8

export function verifyVerb(program: Command, runner: Runner): void {
  const verify = program
    .command('verify')
    .description('check every byte of stored objects against their tags and records; uses only signing master keys')
    .argument(
      '[id]',
      'a file id, its source as `list` prints it (inbox:a.pdf), or the text given with --id when it was enqueued',
    )
    .option('--all', 'all stored files')
    .option('--prefix <path>', 'all files whose path below the root begins with this')
    .option('--batch <name>', 'all files of this batch, by name or id')
    .option('--root <name>', 'with the above: only from this root')
    .option('--domain <id|name>', 'with the above: only of this key domain')
  perform<VerifyOptions>(commonOptions(verify, { changes: false }), runner, verifyAction)
}

async function verifyAction(
  context: CommandContext,
  [id]: readonly string[],
  o: VerifyOptions,
): Promise<ExitStatus | void> {
  if (choosesMany(o) === (id !== undefined)) throw usageError('give a file id, or one of --all, --prefix and --batch')
  const library = await openFileStore(context)
  return id === undefined ? many(context, library, o) : one(context, library, id)
}

async function one(context: CommandContext, library: FileStore, id: string): Promise<void> {
  const stored = await library.find(id)
  const totalBytes = stored.committed.objectLength
  const progress = createProgress(context.io, { noun: 'objects', items: 1, totalBytes, quiet: context.print.json })
  try {
    const result = await verifyStoredFile(library, stored, (done, total) => progress.update(id, done, total))
    progress.stop()
    const { segments, plaintextLength, contextChecked } = result
    await context.print.document({ fileId: stored.file.id, verified: true, contextChecked, segments, plaintextLength })
    const good = context.print.paint('good', 'verified')
    await context.print.text(`${good}  ${count(segments, 'segment')}, ${humanSize(plaintextLength)} of plaintext`)
  } finally {
    progress.stop()
  }
}

interface Outcome {
  readonly file: SelectedFile
  readonly error?: ErrorReport
}

async function many(context: CommandContext, library: FileStore, o: VerifyOptions): Promise<ExitStatus> {
  const files = await selectStored(library.records, o, context.signal)
  if (files.length === 0)
    throw missingError('NOT_FOUND', 'no stored file matches the selection', 'see `sealfleet list`')
  const totalBytes = files.reduce((sum, { objectLength }) => sum + objectLength, 0)
  const bar = { noun: 'objects', items: files.length, totalBytes, quiet: context.print.json }
  const progress = createProgress(context.io, bar)
  const outcomes: Outcome[] = []
  try {
    await forEachConcurrent(files, WIDTH, async (file) => {
      const error = await verifyOne(context, library, file, (done, total) => progress.update(file.path, done, total))
      outcomes.push(error === undefined ? { file } : { file, error })
      const how = error === undefined ? 'verified' : `failed (${error.code})`
      progress.finish(file.path, file.objectLength, `${how}  ${printable(file.path)}`)
      const why = error === undefined ? {} : { error: { code: error.code, message: error.message, fix: error.fix } }
      await context.print.line({ fileId: file.fileId, root: file.root, path: file.path, verified: !error, ...why })
      return error?.exitStatus !== EXIT.unreachable
    })
  } finally {
    progress.stop()
  }
  return summarise(context, files, outcomes)
}

async function verifyOne(
  context: CommandContext,
  library: FileStore,
  file: SelectedFile,
  onProgress: (done: number, total: number) => void,
): Promise<ErrorReport | undefined> {
  try {
    await verifyStoredFile(library, await library.find(file.fileId), onProgress)
    return undefined
  } catch (error) {
    if (context.signal.aborted) throw context.signal.reason
    return describeError(error)
  }
}

async function summarise(
  context: CommandContext,
  files: readonly SelectedFile[],
  outcomes: readonly Outcome[],
): Promise<ExitStatus> {
  const failed = outcomes.filter(({ error }) => error !== undefined)
  const verified = outcomes.length - failed.length
  const notTried = files.length - outcomes.length
  await context.print.line({ summary: { files: files.length, verified, failed: failed.length, notTried } })
  if (failed.length > 0) {
    const rows = failed.map(({ file, error }) => [file.fileId, file.path, error?.code ?? '', error?.message ?? ''])
    await context.print.text(
      table([{ title: 'FAILED' }, { title: 'PATH' }, { title: 'CODE' }, { title: 'WHY', sentence: true }], rows),
    )
  }
  const rest = notTried === 0 ? '' : `, ${notTried} not tried: a dependency is out of reach`
  await context.print.text(`${count(verified, 'object')} verified, ${failed.length} failed${rest}`)
  return combineStatuses(failed.map(({ error }) => error?.exitStatus ?? EXIT.failed))
}
