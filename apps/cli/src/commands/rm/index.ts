import { removeFile } from '@sealfleet/records/deletion'
import type { Records } from '@sealfleet/records'
import type { Command } from 'commander'
import type { CommandContext, CommonOptions } from '../../context.js'
import { combineStatuses, EXIT, type ExitStatus } from '../../exit-status.js'
import { createCounter } from '../../output/counter.js'
import { table } from '../../output/table.js'
import { count, humanSize, humanTime } from '../../output/units.js'
import { beforeText, examineFiles, heldError, notStored, type Candidate } from './candidates.js'
import { removeObjects, type ObjectsReport } from './objects.js'
import { confirm } from '../../input/confirm.js'
import { requireReason } from '../../input/reason.js'
import { openDatabase } from '../../services/records.js'
import { commonOptions, perform, type Runner } from '../../verb.js'

interface RmOptions extends CommonOptions {
  readonly reason: string
  readonly yes?: boolean
}

/** The outcome of one file. */
interface Removed {
  readonly fileId: string
  readonly outcome: 'removed' | 'removed before' | 'refused'
  readonly detail: string
  readonly status: ExitStatus
}

export function rmVerb(program: Command, runner: Runner): void {
  const rm = program
    .command('rm')
    .description('remove stored files for good: their objects are deleted, their records stay as tombstones')
    .argument(
      '<id...>',
      'file ids, sources as `list` prints them (inbox:a.pdf), or the texts given with --id when they were enqueued',
    )
    .requiredOption('--reason <text>', 'why, for the audit log')
    .option('-y, --yes', 'do not ask')
    .addHelpText(
      'after',
      `
Every version of every object of the file is deleted at once when the store can be reached, and by the next sweep otherwise. Its
record says when and by whom (\`status\`, \`trace\`); its id can never be used again. A file under a hold is refused (HELD), and so
is one that is not stored: a dead file is given up with \`dlq discard\`. When one of several cannot be removed, none is. After
an interruption, the same command finishes the rest.`,
    )
  perform<RmOptions>(commonOptions(rm, { changes: true }), runner, rmAction)
}

async function rmAction(context: CommandContext, given: readonly string[], o: RmOptions): Promise<ExitStatus> {
  const reason = requireReason(o.reason)
  const records = await openDatabase(context, context.settings.load(['database']))
  const candidates = await examineFiles(records, given, context.signal)
  const stored = candidates.filter(({ file }) => file.state === 'STORED')
  if (o.dryRun === true) {
    const files = candidates.map(({ file }) => ({
      fileId: file.id,
      outcome: outcomeBefore(file.state),
      source: file.source,
    }))
    await context.print.document({ files, dryRun: true })
    await context.print.text(candidateTable(candidates))
    return EXIT.done
  }
  if (stored.length > 0 && o.yes !== true) {
    await context.print.note(candidateTable(candidates))
    await confirm(context, `remove ${stored.length}`)
  }
  const counter = createCounter(context.io, { noun: 'files removed', quiet: context.print.json })
  try {
    const files: Removed[] = []
    for (const candidate of candidates) {
      context.signal.throwIfAborted()
      files.push(await removeOne(context, records, candidate, reason))
      counter.update(files.length)
    }
    // Files removed before as well: that command may have been interrupted.
    const gone = files.filter(({ outcome }) => outcome !== 'refused').map(({ fileId }) => fileId)
    const objects = await removeObjects(context, records, gone, (n) => counter.update(n))
    counter.stop()
    await context.print.document({ files: files.map(({ status: _, ...rest }) => rest), objects, dryRun: false })
    const rows = files.map(({ fileId, outcome, detail }) => [fileId, outcome, detail])
    await context.print.text(table([{ title: 'FILE' }, { title: 'OUTCOME' }, { title: 'WHAT', sentence: true }], rows))
    await context.print.text(`${count(objects.deleted, 'object')} deleted (${humanSize(objects.bytes)})`)
    if (objects.locked > 0) await context.print.text(lockedText(objects))
    if (objects.left !== null)
      await context.print.note(`${objects.left.code}: ${objects.left.message}; the next sweep deletes what is left`)
    return combineStatuses(files.map(({ status }) => status))
  } finally {
    counter.stop()
  }
}

/** Not a failure: the files are removed, and a later sweep deletes the locked objects. */
function lockedText({ locked, lockedUntil }: ObjectsReport): string {
  const date = lockedUntil === null ? 'under a legal hold of the store' : `locked until ${humanTime(lockedUntil)}`
  return `${count(locked, 'object')} left: ${date}; a sweep after that deletes ${locked === 1 ? 'it' : 'what is due'}`
}

async function removeOne(
  context: CommandContext,
  records: Records,
  candidate: Candidate,
  reason: string,
): Promise<Removed> {
  const { id, source, state } = candidate.file
  const result = (outcome: Removed['outcome'], detail: string, status: ExitStatus = EXIT.done): Removed => ({
    fileId: id,
    outcome,
    detail,
    status,
  })
  if (state === 'DELETED') return result('removed before', beforeText(candidate))
  const removal = await removeFile(records, { fileId: id, actor: `cli:${context.io.user}`, reason })
  switch (removal.outcome) {
    case 'removed':
      return result('removed', `${source.root}:${source.path}`)
    case 'deleted':
      return result('removed before', 'by another process, just now')
    case 'held': {
      const [hold] = removal.holds
      const said = hold === undefined ? 'held' : heldError(id, hold).message
      return result('refused', `HELD: ${said}`, EXIT.failed)
    }
    case 'not-stored':
      return result('refused', `BAD_STATE: ${notStored(id, removal.state).message}`, EXIT.failed)
    case 'unknown':
      return result('refused', 'NOT_FOUND: its record is gone', EXIT.missing)
  }
}

function outcomeBefore(state: string): string {
  return state === 'STORED' ? 'would be removed' : 'removed before'
}

function candidateTable(candidates: readonly Candidate[]): string {
  const columns = [
    { title: 'FILE' },
    { title: 'SIZE', align: 'right' } as const,
    { title: 'STATE' },
    { title: 'SOURCE' },
  ]
  const rows = candidates.map(({ file, size }) => [
    file.id,
    size === null ? '-' : humanSize(size),
    file.state === 'STORED' ? 'would be removed' : 'removed before',
    `${file.source.root}:${file.source.path}`,
  ])
  return table(columns, rows)
}
