import type { Config } from '@sealfleet/config'
import { awaitFiles, batchIdFor, FileIds } from '@sealfleet/queue'
import type { Records } from '@sealfleet/records'
import { fileStates } from '@sealfleet/records/files'
import { forEachConcurrent } from '@sealfleet/runtime'
import { randomUUID } from 'node:crypto'
import { CliError, missingError } from '../../cli-error.js'
import type { CommandContext } from '../../context.js'
import { describeError, statusOfCode } from '../../describe-error.js'
import { combineStatuses, EXIT, type ExitStatus } from '../../exit-status.js'
import { expandPaths, type ExpandOptions, type Expansion, type FoundFile } from '../../files/expand.js'
import { createCounter } from '../../output/counter.js'
import { batchText } from '../status/batch.js'
import { whyNoWorkerTakes } from '../status/processes.js'
import { namedBatch } from './batch.js'
import { bursts } from './bursts.js'
import { preview } from './preview.js'
import { Outages, POSTGRES_OUT } from './outages.js'
import { readPathList, type ListEntry } from './path-list.js'
import { openIngest } from './deps.js'
import { reportFiles, type FileReport } from './report.js'
import { auditRequeued } from './requeued.js'
import { planFile, type PlannedFile } from './requests.js'
import { Tally } from './tally.js'
import { statusOfBatch, waitForBatch } from './wait-batch.js'

export interface ListOptions {
  readonly records: Records
  /** absent: nothing is accepted (--dry-run) */
  readonly config: Config<'redis'> | undefined
  readonly domain: string
  readonly context: Buffer | undefined
  readonly expand: ExpandOptions
  /** name or id of the batch; a new batch by default */
  readonly batch: string | undefined
  readonly nul: boolean
  readonly skipBadNames: boolean
  readonly wait: boolean
}

/** Files accepted by one statement, and how long the first of them waits for more, milliseconds. */
const MOST = 500
const WAIT_MS = 200
/** Entries of the list that are looked up at once. */
const EXPAND_AT_ONCE = 16

/** Accepts one burst of files; returns the outcome of each. */
type Accept = (planned: readonly PlannedFile[]) => Promise<readonly FileReport[]>

/**
 * Enqueues the paths of a list as they come, in memory that does not grow with their number. An entry that cannot be
 * enqueued is reported with its code and the rest continues, since earlier entries are accepted already. All files form
 * one batch, which is named at the start.
 * @throws SOURCE_MISSING for an empty list, what is out of reach, the signal's reason
 */
export async function enqueueList(context: CommandContext, o: ListOptions): Promise<ExitStatus> {
  const tally = new Tally()
  if (o.config === undefined) {
    await takeAll(context, o, tally, (planned) =>
      preview(o.records, planned, { idWasGiven: false, signal: context.signal }),
    )
    return finish(context, tally, { dryRun: true })
  }
  const { io, print, signal } = context
  const batchId = batchIdFor(o.batch ?? randomUUID())
  await print.line({ batchId })
  await print.note(`batch ${batchId}: the files of the list, as they come`)
  const follow = `follow them: sealfleet status --batch ${batchId} --wait`
  context.ifStopped(
    `accepted files are stored anyway; ${follow}; the same list again, with --batch ${batchId}, adds the rest`,
  )
  const about = { actor: `cli:${io.user}`, domain: o.domain, batchId }
  const ingest = await openIngest(context, o.config, o.records, about)
  const counter = createCounter(io, { noun: 'files accepted', quiet: print.json })
  const requeued: string[] = []
  let requeuedFiles = 0
  let begun = false
  /** Files that another command enqueued; they belong to its batch. */
  const elsewhere = new FileIds()
  try {
    await takeAll(context, o, tally, async (planned) => {
      // Created with its first file.
      if (!begun) await namedBatch(o.records, o.batch ?? batchId, about.actor)
      begun = true
      const requests = planned.map(({ request }) => request)
      const results = await ingest.client.enqueueMany(requests, { batchId, signal })
      for (const { outcome, fileId } of results) {
        if (outcome !== 'requeued' && outcome !== 'already-queued') continue
        if (outcome === 'requeued') requeuedFiles += 1
        if (outcome === 'requeued' && requeued.length === 0 && fileId !== undefined) requeued.push(fileId)
        if (o.wait && fileId !== undefined) elsewhere.add(fileId)
      }
      counter.update(tally.files + planned.length)
      return reportFiles(o.records, planned, results, new Map(), false)
    })
  } finally {
    counter.stop()
    if (requeuedFiles > 0) await auditRequeued(o.records, { ...about, files: requeuedFiles, first: requeued[0] })
  }
  if (o.wait) {
    if (await ingest.queue.isPaused()) await print.note('note: the queue is paused: sealfleet queue resume')
    return waitForAll(context, o.records, tally, { batchId, elsewhere })
  }
  const status = await finish(context, tally, { batchId })
  await print.note(follow)
  return status
}

async function takeAll(context: CommandContext, o: ListOptions, tally: Tally, accept: Accept): Promise<void> {
  const { io, print, signal } = context
  // An open list must not keep the finished command running.
  const stop = (): void => void io.stdin.destroy()
  signal.addEventListener('abort', stop, { once: true })
  try {
    for await (const burst of bursts(readPathList(io.stdin, { nul: o.nul }), { most: MOST, waitMs: WAIT_MS })) {
      const planned: PlannedFile[] = []
      for (const found of await expandAll(o, burst, signal)) {
        for (const file of await filesOf(context, o, tally, found))
          planned.push(planFile(file, { domain: o.domain, context: o.context, id: undefined }))
      }
      for (const report of planned.length === 0 ? [] : await accept(planned)) {
        tally.add(report)
        await print.line(report)
      }
    }
    signal.throwIfAborted()
  } catch (error) {
    signal.throwIfAborted()
    throw error
  } finally {
    signal.removeEventListener('abort', stop)
    stop()
  }
  if (tally.files + tally.refused + tally.skipped === 0)
    throw missingError('SOURCE_MISSING', 'nothing to enqueue: the list on standard input is empty')
}

/** An entry of the list with its files, or with the reason why it has none. */
interface Expanded {
  readonly entry: ListEntry
  readonly found?: Expansion
  readonly error?: CliError
}

/** Expands the entries of a burst, several at once: each waits for the file system. In the order of the list. */
async function expandAll(
  o: ListOptions,
  entries: readonly ListEntry[],
  signal: AbortSignal,
): Promise<readonly Expanded[]> {
  const all: Expanded[] = []
  await forEachConcurrent(entries.entries(), EXPAND_AT_ONCE, async ([place, entry]) => {
    signal.throwIfAborted()
    all[place] = await expandEntry(o, entry)
  })
  return all
}

async function expandEntry(o: ListOptions, entry: ListEntry): Promise<Expanded> {
  if (entry.path === undefined) return { entry }
  try {
    return { entry, found: await expandPaths([entry.path], { ...o.expand, literal: true }) }
  } catch (error) {
    if (!(error instanceof CliError)) throw error
    return { entry, error }
  }
}

/** The files of one entry; an entry without a file is reported and counted. */
async function filesOf(
  { print }: CommandContext,
  o: ListOptions,
  tally: Tally,
  { entry, found, error }: Expanded,
): Promise<readonly FoundFile[]> {
  const bad = async (shown: string, reason: string): Promise<void> => {
    await print.line({ skipped: { shown, reason } })
    if (o.skipBadNames) return tally.skip({ shown, reason })
    const fix = 'rename it, or leave it out: --skip-bad-names'
    const refused = { code: 'SOURCE_NAME', message: `${shown}: ${reason}`, fix }
    tally.refuse({ path: shown, error: refused, exitStatus: EXIT.failed })
  }
  if (entry.path === undefined) {
    await bad(entry.unnameable.shown, entry.unnameable.reason)
    return []
  }
  if (error !== undefined) {
    const { exitStatus, code, message, fix } = describeError(error)
    const refused = { code, message, ...(fix === undefined ? {} : { fix }) }
    tally.refuse({ path: entry.path, error: refused, exitStatus })
    await print.line({ path: entry.path, error: refused })
  }
  for (const one of found?.unnameable ?? []) await bad(one.shown, one.reason)
  for (const one of found?.skipped ?? []) {
    tally.skip(one)
    await print.line({ skipped: one })
  }
  return found?.files ?? []
}

async function finish(
  { print }: CommandContext,
  tally: Tally,
  extra: Readonly<Record<string, unknown>>,
): Promise<ExitStatus> {
  await print.line({ ...extra, summary: tally.summary })
  await tally.print(print)
  return tally.status
}

/** Waits for the batch, then for files enqueued before, and returns the status of all. */
async function waitForAll(
  context: CommandContext,
  records: Records,
  tally: Tally,
  { batchId, elsewhere }: { readonly batchId: string; readonly elsewhere: FileIds },
): Promise<ExitStatus> {
  const { print, signal } = context
  await tally.print(print)
  const why = await whyNoWorkerTakes(records)
  if (why !== undefined) await print.note(`note: ${why}; waiting`)
  const fresh = (tally.byOutcome['queued'] ?? 0) > 0
  const batch = fresh ? await waitForBatch(context, records, { id: batchId, given: batchId }) : undefined
  const outages = new Outages(records, (text) => void print.note(text))
  const others = new Set<ExitStatus>()
  await awaitFiles((fileIds) => fileStates(records, fileIds), elsewhere, {
    signal,
    onEnd: ({ state, code }) => {
      if (state !== 'STORED') others.add(code === undefined ? EXIT.failed : statusOfCode(code))
    },
    onTrouble: () => outages.begin(POSTGRES_OUT),
    onAnswer: () => outages.end(POSTGRES_OUT),
  })
  await print.line({ batchId, summary: tally.summary, ...(batch && { batch }) })
  if (batch !== undefined) await print.text(batchText(batch))
  return combineStatuses([tally.status, ...(batch ? [statusOfBatch(batch)] : []), ...others])
}
