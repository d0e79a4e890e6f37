import type { EnqueueResult, IngestQueue } from '@sealfleet/queue'
import { activeKeys } from '@sealfleet/records/keys'
import type { Records } from '@sealfleet/records'
import type { Command } from 'commander'
import { missingError, usageError } from '../../cli-error.js'
import type { CommandContext, CommonOptions } from '../../context.js'
import { batchOfFiles, namedBatch } from './batch.js'
import { preview } from './preview.js'
import { openIngest } from './deps.js'
import { enqueueList } from './from-list.js'
import { auditRequeued } from './requeued.js'
import { printReport, reportFiles, statusOf } from './report.js'
import { planFile, type PlannedFile } from './requests.js'
import { openQueueEvents, waitWithProgress, type Listening } from './wait.js'
import { EXIT, type ExitStatus } from '../../exit-status.js'
import { expandPaths, type ExpandOptions, type Expansion } from '../../files/expand.js'
import { readContext, type ContextOptions } from '../../files/context.js'
import { resolveRoots } from '../../files/roots.js'
import { findDomain } from '../../input/domains.js'
import { write } from '../../io.js'
import { createCounter } from '../../output/counter.js'
import { printable } from '../../output/printable.js'
import { count, humanSize } from '../../output/units.js'
import { openDatabase } from '../../services/records.js'
import { whyNoWorkerTakes } from '../status/processes.js'
import { commonOptions, errorText, perform, type Runner } from '../../verb.js'

interface EnqueueOptions extends CommonOptions, ContextOptions {
  readonly wait?: boolean
  readonly root?: string
  readonly domain: string
  readonly id?: string
  readonly batch?: string
  readonly skipBadNames?: boolean
  readonly null?: boolean
}

export function enqueueVerb(program: Command, runner: Runner): void {
  const enqueue = program
    .command('enqueue')
    .description('accept files and queue them for the workers')
    .argument(
      '<path...>',
      'files, folders (all regular files below) and glob patterns, below one of SEALFLEET_ROOTS; - reads a list of paths',
    )
    .option('-w, --wait', 'wait until every file is stored or dead, and show progress')
    .option('--root <name>', 'accept only files below this root')
    .option('--domain <id|name>', 'the key domain (retention class)', 'default')
    .option('--context <text>', 'bytes to bind to each file: reading needs them again (they are kept in the record)')
    .option('--context-hex <hex>', 'the same, in hexadecimal')
    .option('--context-file <path>', 'the same, as the bytes of a file')
    .option('--id <id>', 'the file id of a single file: a UUID, or any text, which maps to one')
    .option(
      '--batch <name>',
      'the batch the files belong to: a name or a UUID (without it, several files form a batch of their own)',
    )
    .option('-0, --null', 'with -: paths end with NUL, as find -print0 writes them')
    .option(
      '--skip-bad-names',
      'leave out files whose names are not UTF-8; else nothing is accepted (with -: reported, status 1)',
    )
    .addHelpText(
      'after',
      `
Without --id, the id follows from domain, root, path, context, size and time of change: enqueueing again is the same
request, and a file that was changed since is a new one. With --id, another source under the same id is refused.

With - the list is read as it comes, in memory that does not grow with it: the batch is named at the start, files are accepted
while the list continues, and entries that are not files are reported and skipped. --json writes a line for each file.`,
    )
  perform<EnqueueOptions>(commonOptions(enqueue, { changes: true }), runner, enqueueAction)
}

async function enqueueAction(
  context: CommandContext,
  paths: readonly string[],
  o: EnqueueOptions,
): Promise<ExitStatus | void> {
  const bound = await readContext(o, context.io.cwd)
  const { roots } = context.settings.load(['roots'])
  const resolved = await resolveRoots(roots, o.root)
  const expand = { cwd: context.io.cwd, roots, resolved, only: o.root }
  if (paths.includes('-')) return fromList(context, paths, { ...o, bound, expand })
  if (o.null === true) throw usageError('-0 needs -, the list on standard input')
  const found = await expandPaths(paths, expand)
  if (found.unnameable.length > 0 && o.skipBadNames !== true) return badNames(context, found)
  if (found.files.length === 0) throw nothing(paths, found)
  if (o.id !== undefined && found.files.length > 1) {
    throw usageError(
      `--id names one file, and there are ${found.files.length}`,
      'enqueue them one by one, or without --id',
    )
  }
  const config = context.settings.load(o.dryRun === true ? ['database'] : ['database', 'redis'])
  const records = await openDatabase(context, config)
  const domain = await findDomain(records, o.domain)
  // Without keys no file could be stored; report it now instead of letting workers pause.
  await activeKeys(records, domain.id)
  const planned = found.files.map((file) => planFile(file, { domain: domain.id, context: bound, id: o.id }))
  if (o.dryRun === true) {
    const reports = await preview(records, planned, { idWasGiven: o.id !== undefined, signal: context.signal })
    await printReport(context.print, reports, found, { dryRun: true })
    return statusOf(reports)
  }
  const batchId = await openBatch(context, records, o.batch, planned)
  const follow = hint(o.batch ?? batchId, planned)
  context.ifStopped(`accepted files are stored anyway; ${follow}; the same command accepts the rest and waits`)
  const bytes = planned.reduce((sum, { size }) => sum + size, 0)
  if (batchId !== undefined)
    await context.print.note(`batch ${batchId}: ${count(planned.length, 'file')}, ${humanSize(bytes)}`)
  const events = o.wait === true ? await openQueueEvents(context, config) : undefined
  const actor = `cli:${context.io.user}`
  const ingest = await openIngest(context, config, records, { actor, domain: domain.id, batchId })
  const results: EnqueueResult[] = []
  const counter = createCounter(context.io, { noun: 'files accepted', quiet: context.print.json })
  const chunks = ingest.client.enqueueChunks(
    planned.map(({ request }) => request),
    { signal: context.signal, batchId, onProgress: (done) => counter.update(done) },
  )
  try {
    for await (const chunk of chunks) results.push(...chunk)
  } finally {
    counter.stop()
    const requeued = results.filter(({ outcome }) => outcome === 'requeued')
    const about = { actor, domain: domain.id, batchId }
    await auditRequeued(records, { ...about, files: requeued.length, first: requeued[0]?.fileId })
  }
  const ended = events && (await wait(context, { records, planned, results, events, queue: ingest.queue }))
  const reports = await reportFiles(records, planned, results, ended ?? new Map(), context.print.json)
  await printReport(context.print, reports, found, batchId === undefined ? {} : { batchId })
  if (ended === undefined && !context.print.json) await context.print.note(follow)
  return statusOf(reports)
}

/** The list on standard input, as it comes. */
async function fromList(
  context: CommandContext,
  paths: readonly string[],
  o: EnqueueOptions & { readonly bound: Buffer | undefined; readonly expand: ExpandOptions },
): Promise<ExitStatus> {
  if (paths.length > 1)
    throw usageError('- stands for a list on standard input and cannot be combined with other paths')
  if (o.id !== undefined) throw usageError('--id names one file, and - stands for a list', 'name the file itself')
  const dryRun = o.dryRun === true
  const config = dryRun ? undefined : context.settings.load(['database', 'redis'])
  const records = await openDatabase(context, config ?? context.settings.load(['database']))
  const domain = await findDomain(records, o.domain)
  await activeKeys(records, domain.id)
  const { bound, expand, batch } = o
  return enqueueList(context, {
    ...{ records, config, domain: domain.id, context: bound, expand, batch },
    ...{ nul: o.null === true, skipBadNames: o.skipBadNames === true, wait: o.wait === true },
  })
}

const UNDER_WAY: ReadonlySet<string> = new Set(['queued', 'already-queued', 'requeued'])

async function wait(
  context: CommandContext,
  o: {
    records: Records
    planned: readonly PlannedFile[]
    results: readonly EnqueueResult[]
    events: Listening
    queue: IngestQueue
  },
) {
  const open = o.planned.filter((_, index) => UNDER_WAY.has(o.results[index]?.outcome ?? ''))
  if (open.length === 0) return new Map()
  if (await o.queue.isPaused()) await context.print.note('note: the queue is paused: sealfleet queue resume')
  const why = await whyNoWorkerTakes(o.records)
  if (why !== undefined) await context.print.note(`note: ${why}; waiting`)
  return waitWithProgress(context, o.records, open, o.events)
}

function openBatch(
  { io }: CommandContext,
  records: Records,
  name: string | undefined,
  planned: readonly PlannedFile[],
): Promise<string | undefined> {
  const createdBy = `cli:${io.user}`
  return name === undefined ? batchOfFiles(records, planned, createdBy) : namedBatch(records, name, createdBy)
}

/** Lists all of them and accepts nothing: half a folder is worse than none when no one notices. */
async function badNames({ print, io }: CommandContext, { files, skipped, unnameable }: Expansion): Promise<ExitStatus> {
  const report = {
    code: 'SOURCE_NAME',
    message: `${count(unnameable.length, 'name')} not in UTF-8, which a job cannot carry; nothing was accepted`,
    fix: `rename them, or enqueue the other ${count(files.length, 'file')}: --skip-bad-names`,
    exitStatus: EXIT.failed,
  }
  const { exitStatus, ...error } = report
  await print.document({ files: [], skipped, badNames: unnameable, error })
  for (const { shown } of unnameable) await print.note(`not UTF-8: ${printable(shown)}`)
  if (!print.json) await write(io.stderr, errorText(report))
  return exitStatus
}

/** Names what was found instead. */
function nothing(paths: readonly string[], { skipped, unnameable }: Expansion) {
  const reasons = new Map<string, number>()
  for (const { reason } of [...skipped, ...unnameable]) reasons.set(reason, (reasons.get(reason) ?? 0) + 1)
  const also = [...reasons].map(([reason, n]) => `${n} left out (${reason})`).join(', ')
  return missingError(
    'SOURCE_MISSING',
    `nothing to enqueue: there is no regular file in ${paths.map(printable).join(', ')}${also && `; ${also}`}`,
    'name files, folders with files in them, or patterns in quotes',
  )
}

function hint(batch: string | undefined, planned: readonly PlannedFile[]): string {
  const [only] = planned
  if (batch !== undefined) return `follow them: sealfleet status --batch ${batch}`
  return planned.length === 1 && only ? `follow it: sealfleet status ${only.fileId}` : 'follow them: sealfleet status'
}
