import { batchIdFor, QUEUES } from '@sealfleet/queue'
import { batchProgress, fileCounts, getFile, retryingByCode } from '@sealfleet/records/files'
import { keyAges } from '@sealfleet/records/keys'
import { listTasks, listWorkers, outboxDepth } from '@sealfleet/records/upkeep'
import type { Records } from '@sealfleet/records'
import type { Command } from 'commander'
import { missingError, usageError } from '../../cli-error.js'
import type { CommandContext, CommonOptions } from '../../context.js'
import { explainCode } from '../../describe-error.js'
import { statusOfBatch, waitForBatch } from '../enqueue/wait-batch.js'
import type { ExitStatus } from '../../exit-status.js'
import { quoted } from '../operators/find-or-create-request.js'
import { deletionText } from '../../files/deletion.js'
import { pairs } from '../../output/table.js'
import { count, humanDuration, humanSize, humanTime } from '../../output/units.js'
import { findFileId, noSuchFile } from '../../input/file-id.js'
import { openDatabase } from '../../services/records.js'
import { retryingTable } from './retrying.js'
import { batchText } from './batch.js'
import { isOfInterest, maintenanceTable, whyNoWorkerTakes, workerTable } from './processes.js'
import { commonOptions, perform, type Runner } from '../../verb.js'
import { printable } from '../../output/printable.js'

interface StatusOptions extends CommonOptions {
  readonly batch?: string
  readonly wait?: boolean
}

export function statusVerb(program: Command, runner: Runner): void {
  const status = program
    .command('status')
    .description('show the state of a file, of a batch, or of everything (reads only Postgres)')
    .argument(
      '[id]',
      'a file id, its source as `list` prints it (inbox:a.pdf), or the text given with --id when it was enqueued',
    )
    .option('--batch <name>', 'a batch, by name or id')
    .option('-w, --wait', 'with --batch: wait until it has ended, and show progress')
    .addHelpText(
      'after',
      `
A batch has ended when as many files as were announced are accepted (at least one) and each is stored, dead, discarded or deleted;
of a batch without an announced number, when that is so of the files that are accepted. --wait ends with the exit status of
\`enqueue --wait\`, waits through an outage of Postgres and reports it; it needs nothing else.`,
    )
  perform<StatusOptions>(commonOptions(status, { changes: false }), runner, statusAction)
}

async function statusAction(
  context: CommandContext,
  [id]: readonly string[],
  o: StatusOptions,
): Promise<ExitStatus | void> {
  if (id !== undefined && o.batch !== undefined) throw usageError('give a file id or --batch, not both')
  if (o.wait === true && o.batch === undefined) throw usageError('--wait needs --batch', 'name the batch to wait for')
  const records = await openDatabase(context, context.settings.load(['database']))
  if (id !== undefined) return oneFile(context, records, id)
  if (o.batch === undefined) return everything(context, records)
  return o.wait === true ? untilEnded(context, records, o.batch) : oneBatch(context, records, o.batch)
}

async function oneFile(context: CommandContext, records: Records, given: string): Promise<void> {
  const fileId = await findFileId(records, given)
  const found = await getFile(records, fileId)
  if (found === undefined) throw noSuchFile(given, fileId)
  const { file, committed } = found
  const deleted = deletionText(file)
  const failure = file.state === 'STORED' || file.state === 'DELETED' ? null : file.lastFailure
  await context.print.document({
    fileId: file.id,
    state: file.state,
    source: file.source,
    domain: file.domain,
    batchId: file.batchId,
    attempts: file.lastAttemptNo,
    acceptedAt: file.acceptedAt,
    storedAt: file.storedAt,
    deletion: file.deletion,
    lastFailure: file.lastFailure,
    nextTryAt: file.nextTryAt,
    object: committed && {
      bucket: committed.bucket,
      key: committed.objectKey,
      version: committed.objectVersion,
      length: committed.objectLength,
      plaintextLength: committed.plaintextLength,
      suite: committed.suite,
      encKeyVersion: committed.encKeyVersion,
      sigKeyVersion: committed.sigKeyVersion,
    },
  })
  const style = file.state === 'STORED' ? 'good' : file.state === 'DEAD' ? 'bad' : 'bold'
  const entries: [string, string][] = [
    ['file', file.id],
    ['source', `${file.source.root}:${file.source.path}`],
    ['state', file.state],
    ['domain', file.domain],
    ['attempts', String(file.lastAttemptNo)],
    ['accepted', humanTime(file.acceptedAt)],
  ]
  if (committed) {
    entries.push(
      ['stored', humanTime(file.storedAt)],
      ['size', `${committed.plaintextLength} bytes (${humanSize(committed.plaintextLength)})`],
      ['keys', `suite ${committed.suite}, enc ${committed.encKeyVersion}, sig ${committed.sigKeyVersion}`],
      ['object', `s3://${committed.bucket}/${committed.objectKey}`],
    )
  }
  if (deleted !== undefined) entries.push(['stored', humanTime(file.storedAt)], ['deleted', deleted])
  if (failure) {
    const { message, fix } = explainCode(failure.code)
    entries.push(['last failure', `${failure.code} at ${humanTime(failure.at)}: ${message}`], ['fix', fix])
    if (file.nextTryAt) entries.push(['next try', humanTime(file.nextTryAt)])
  }
  const text = pairs(entries)
  await context.print.text(text.replace(/^state .*$/m, (line) => context.print.paint(style, line)))
}

async function oneBatch(context: CommandContext, records: Records, given: string): Promise<void> {
  const progress = await batchProgress(records, batchIdFor(given))
  if (progress === undefined) throw missingError('NOT_FOUND', `there is no batch ${printable(given)}`)
  await context.print.document(progress)
  await context.print.text(batchText(progress))
}

/** Waits until the batch has ended; the exit status is that of `enqueue --wait`. */
async function untilEnded(context: CommandContext, records: Records, given: string): Promise<ExitStatus> {
  context.ifStopped(
    `the files continue without this command; to wait again: sealfleet status --batch ${quoted(given)} --wait`,
  )
  const why = await whyNoWorkerTakes(records)
  if (why !== undefined) await context.print.note(`note: ${why}; waiting`)
  const progress = await waitForBatch(context, records, { id: batchIdFor(given), given })
  await context.print.document(progress)
  await context.print.text(batchText(progress))
  return statusOfBatch(progress)
}

async function everything(context: CommandContext, records: Records): Promise<void> {
  const books = await fileCounts(records)
  const workers = (await listWorkers(records)).filter(isOfInterest)
  const maintenance = await listTasks(records)
  const outbox = await outboxDepth(records)
  const rotations = (await keyAges(records)).filter(({ due }) => due)
  const retrying = await retryingByCode(records)
  const { byState } = books
  await context.print.document({ ...books, retrying, workers, maintenance, outbox, rotationsDue: rotations })
  await context.print.text(
    pairs([
      ['accepted', String(books.accepted)],
      ['queued', String(byState.QUEUED)],
      [
        'running',
        `${byState.RUNNING}${books.expiredLeases === 0 ? '' : ` (${books.expiredLeases} with an expired lease)`}`,
      ],
      ['stored', String(byState.STORED)],
      ['dead', String(byState.DEAD)],
      ['discarded', String(byState.DISCARDED)],
      ['deleted', String(byState.DELETED)],
      [
        'conservation',
        books.difference === 0 ? '0 (nothing lost)' : `${books.difference}: files are missing from the records`,
      ],
    ]),
  )
  if (retrying.length > 0) await context.print.text(`\n${retryingTable(retrying)}`)
  const { waiting, oldestSeconds } = outbox
  if (waiting > 0) {
    const since = humanDuration(oldestSeconds * 1000)
    await context.print.text(`${count(waiting, 'file')} in the outbox without a job, the oldest for ${since}`)
  }
  for (const domain of new Set(rotations.map(({ domainName }) => domainName)))
    await context.print.text(`a rotation of domain ${domain} is due: sealfleet keys rotate --domain ${domain}`)
  if (workers.length > 0) await context.print.text(`\n${workerTable(context, workers)}`)
  if (maintenance.length > 0) await context.print.text(`\n${maintenanceTable(context, maintenance)}`)
  await context.print.note(`the queue \`${QUEUES.ingest}\` itself: sealfleet queue status`)
}
