import type { Command } from 'commander'
import path from 'node:path'
import { missingError, usageError } from '../../cli-error.js'
import type { CommandContext, CommonOptions } from '../../context.js'
import { combineStatuses, EXIT, type ExitStatus } from '../../exit-status.js'
import { checkDestination, deliver, rehearseDelivery, wantsNoProgress } from '../../files/deliver.js'
import { parseRange, resolveRange } from '../../files/range.js'
import { isPlainRelative, openOutputFolder } from '../../files/safe-path.js'
import { createProgress } from '../../output/progress.js'
import { printable } from '../../output/printable.js'
import { table } from '../../output/table.js'
import { count, humanSize } from '../../output/units.js'
import { restoreMany, type ManyRestored, type RestoreOutcome } from './many.js'
import { outputPaths, planRestore, type RestorePlan, type StripOptions } from './plan.js'
import { openDatabase } from '../../services/records.js'
import { openObjectReader } from '@sealfleet/objects'
import { choosesMany, selectStored, type SelectionOptions } from '../../input/selection.js'
import { openFileStore } from '../../services/stored.js'
import { commonOptions, perform, wholeNumberOption, type Runner } from '../../verb.js'

interface RestoreOptions extends CommonOptions, SelectionOptions, StripOptions {
  readonly output?: string
  readonly range?: string
  readonly force?: boolean
  readonly skipExisting?: boolean
}

export function restoreVerb(program: Command, runner: Runner): void {
  const restore = program
    .command('restore')
    .description('decrypt stored files: one to a file or standard output, or many into a folder')
    .argument(
      '[id]',
      'a file id, its source as `list` prints it (inbox:a.pdf), or the text given with --id when it was enqueued',
    )
    .option('-o, --output <path>', 'one: the file to write, - is standard output; many: the folder')
    .option('--range <a-b>', 'only these bytes: A-B (both ends count), A- or -N (the last N)')
    .option('--prefix <path>', 'all files whose path below the root begins with this')
    .option('--batch <name>', 'all files of this batch, by name or id')
    .option('--all', 'all stored files')
    .option('--root <name>', 'with the above: only from this root')
    .option('--domain <id|name>', 'with the above: only of this key domain')
    .option('--strip <folder>', 'many: remove this folder from the beginning of their paths')
    .addOption(wholeNumberOption('--strip-components <n>', 'many: remove the first N folders of their paths', 1, 1_000))
    .option('--force', 'replace existing files')
    .option('--skip-existing', 'many: skip files that exist already')
    .addHelpText(
      'after',
      `
A file appears under its name only when all of it was checked. Standard output receives each segment when it is
authentic: trust the whole only after exit status 0. Of several files from one path, the newest is restored.
Below the folder of -o nothing is ever written through a link, even one created meanwhile; when a folder is moved or
replaced, the command ends with OUTPUT_UNSAFE and status 1. Stopped or failed, it leaves no temporary file; after SIGKILL the
next restore into the folder removes it. A full disk ends the run at once: make room and continue with --skip-existing.`,
    )
  perform<RestoreOptions>(commonOptions(restore, { changes: true }), runner, restoreAction)
}

async function restoreAction(
  context: CommandContext,
  [id]: readonly string[],
  o: RestoreOptions,
): Promise<ExitStatus | void> {
  if (choosesMany(o)) {
    if (id !== undefined) throw usageError('give a file id, or choose many, not both')
    if (o.range !== undefined) throw usageError('--range works with one file only')
    return manyAction(context, o)
  }
  if (id === undefined) throw usageError('name a file id, or choose many with --prefix, --batch or --all')
  if (o.strip !== undefined || o.stripComponents !== undefined)
    throw usageError('--strip works with many files only; for one file, -o names the path')
  return oneAction(context, id, o)
}

async function oneAction(context: CommandContext, id: string, o: RestoreOptions): Promise<void> {
  const range = o.range === undefined ? undefined : parseRange(o.range)
  const destination = { output: o.output, force: o.force === true }
  checkDestination(context, destination)
  const library = await openFileStore(context)
  using reading = await openObjectReader(library, id)
  const { file } = reading.stored
  // Uses the authentic length; the record's has been compared with it.
  const { start, end } = range ? resolveRange(range, reading.length) : { start: 0, end: reading.length }
  const about = { fileId: file.id, source: file.source, ...(range ? { range: { start, end } } : {}) }
  if (o.dryRun === true) {
    await rehearseDelivery(context, destination)
    await context.print.document({ ...about, output: o.output ?? '-', bytes: end - start, dryRun: true })
    return context.print.text(`would restore ${humanSize(end - start)} to ${o.output ?? 'standard output'}`)
  }
  const bar = { noun: 'files', items: 1, totalBytes: end - start, quiet: wantsNoProgress(context, destination) }
  const progress = createProgress(context.io, bar)
  try {
    const delivered = await deliver(
      context,
      destination,
      (options) => (range ? reading.readRange(start, end, options) : reading.readAll(options)),
      (done) => progress.update(file.source.path, done, end - start),
    )
    progress.stop()
    await context.print.document({ ...about, output: delivered.path ?? '-', bytes: delivered.bytes })
    if (delivered.path !== undefined) await context.print.text(`${delivered.path}  ${humanSize(delivered.bytes)}`)
  } finally {
    progress.stop()
  }
}

async function manyAction(context: CommandContext, o: RestoreOptions): Promise<ExitStatus> {
  if (o.output === undefined || o.output === '-' || o.output === '')
    throw usageError('-o must name the folder to restore into')
  const folder = path.resolve(context.io.cwd, o.output)
  const dryRun = o.dryRun === true
  const library = dryRun ? undefined : await openFileStore(context)
  const records = library?.records ?? (await openDatabase(context, context.settings.load(['database'])))
  const plan = planRestore(await selectStored(records, o, context.signal))
  if (plan.files.length === 0)
    throw missingError('NOT_FOUND', 'no stored file matches the selection', 'see `sealfleet list`')
  const totalBytes = plan.files.reduce((sum, { size }) => sum + size, 0)
  const pathOf = outputPaths(plan.files, o)
  if (library === undefined) return dryRunMany(context, plan, folder, pathOf)
  await using opened = await openOutputFolder(folder)
  const progress = createProgress(context.io, {
    noun: 'files',
    items: plan.files.length,
    totalBytes,
    quiet: context.print.json,
  })
  try {
    const done = await restoreMany(context, library, plan.files, progress, {
      folder: opened,
      pathOf,
      force: o.force === true,
      skipExisting: o.skipExisting === true,
      onOutcome: (outcome) => context.print.line(lineOf(outcome)),
    })
    progress.stop()
    return await summarise(context, plan, done)
  } finally {
    progress.stop()
  }
}

function lineOf({ file, outcome, output, error }: RestoreOutcome) {
  const { fileId, root, path: relativePath, size } = file
  const why = error === undefined ? {} : { error: { code: error.code, message: error.message, fix: error.fix } }
  return { fileId, root, relativePath, size, output, outcome, ...why }
}

async function summarise(
  context: CommandContext,
  { files, older }: RestorePlan,
  { outcomes, stopped }: ManyRestored,
): Promise<ExitStatus> {
  const failed = outcomes.filter((one) => one.error !== undefined)
  const restored = outcomes.filter(({ outcome }) => outcome === 'restored')
  const bytes = restored.reduce((sum, { file }) => sum + file.size, 0)
  const notTried = files.length - outcomes.length
  const summary = {
    files: files.length,
    restored: restored.length,
    bytes,
    existed: outcomes.filter(({ outcome }) => outcome === 'exists').length,
    failed: failed.length,
    notTried,
    ...(stopped === undefined ? {} : { stopped }),
    olderVersions: older.length,
  }
  await context.print.line({ summary })
  if (failed.length > 0) {
    const columns = [{ title: 'FAILED' }, { title: 'CODE' }, { title: 'WHY', sentence: true }]
    const rows = failed.slice(0, 50).map(({ file, error }) => [file.path, error?.code ?? '', error?.message ?? ''])
    await context.print.text(table(columns, rows))
    for (const fix of new Set(failed.map(({ error }) => error?.fix))) if (fix) await context.print.note(`  fix: ${fix}`)
  }
  const rest = notTried === 0 ? '' : `, ${notTried} not tried: ${stopped ?? 'stopped'}`
  const existed = summary.existed === 0 ? '' : `, ${summary.existed} were there`
  const old = older.length === 0 ? '' : ` (${count(older.length, 'older file')} of the same paths left out)`
  await context.print.text(
    `${count(restored.length, 'file')} restored, ${humanSize(bytes)}${existed}, ${failed.length} failed${rest}${old}`,
  )
  if (stopped !== undefined) {
    await context.print.note(
      `stopped: ${stopped}. Restored files are complete; after the repair, the same command with --skip-existing continues`,
    )
  }
  return combineStatuses([...failed.map(({ error }) => error?.exitStatus ?? EXIT.failed)])
}

async function dryRunMany(
  context: CommandContext,
  plan: RestorePlan,
  folder: string,
  pathOf: (stored: string) => string,
): Promise<ExitStatus> {
  const bytes = plan.files.reduce((sum, { size }) => sum + size, 0)
  for (const { fileId, root, path: stored, size } of plan.files) {
    const below = pathOf(stored)
    const safe = isPlainRelative(below)
    const output = path.join(folder, below)
    await context.print.line({
      fileId,
      root,
      relativePath: stored,
      size,
      output,
      safe,
      dryRun: true,
    })
    await context.print.text(`would restore ${printable(output)}  ${humanSize(size)}`)
  }
  await context.print.line({
    summary: { files: plan.files.length, bytes, olderVersions: plan.older.length, dryRun: true },
  })
  await context.print.text(`${count(plan.files.length, 'file')}, ${humanSize(bytes)}`)
  return EXIT.done
}
