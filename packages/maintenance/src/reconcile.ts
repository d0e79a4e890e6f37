import { fileBalance, countOpenFiles, listOpenFiles, type FileBalance } from '@sealfleet/records/files'
import { forgetWorkers } from '@sealfleet/records/upkeep'
import type { FileRow, Records } from '@sealfleet/records'

/** The queue, as far as reconciling goes. */
export interface JobsPort {
  /** Jobs that will still run: waiting, delayed, active. One question, however many there are. */
  live(): Promise<number>
  /** Of these files, those that have no job that will still run. */
  lost(files: readonly FileRow[]): Promise<readonly FileRow[]>
  /** Gives them jobs; harmless for one that has got one meanwhile. @returns how many were added */
  deliver(files: readonly FileRow[]): Promise<number>
}

export interface ReconcileOptions {
  /** Files younger than this in their present state are left to anyone who is at them. Default 60. */
  readonly idleSeconds?: number
  /** Look at each file only when the queue holds fewer jobs than there are open files. */
  readonly quick?: boolean
  readonly dryRun?: boolean | undefined
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((looked: number) => void) | undefined
}

export interface ReconcileReport {
  readonly dryRun: boolean
  /** Files that are QUEUED or RUNNING, and jobs that will still run. */
  readonly openFiles: number
  readonly liveJobs: number
  /** Files looked at one by one; 0 when a quick look was enough. */
  looked: number
  /** Files without a job, and how many of them were given one. */
  lost: number
  requeued: number
  /** Among those looked at: RUNNING files whose lease has run out. The next claim takes them over. */
  expiredLeases: number
  /** Worker processes that were silent for a day, and are forgotten. */
  workersForgotten: number
  /** The books; not made up by a quick look. */
  readonly books: FileBalance | null
}

const PAGE = 500
const DAY_S = 24 * 60 * 60

/**
 * Compares the records with the queue: every open file must have a job that will run. Redis may have lost it (restart
 * without its file, a wipe, a producer that died between the two writes); Postgres knows every accepted file, so each is given
 * a new one. Doing it twice, or beside workers, is harmless: a claim decides who works.
 * @throws RecordsError, whatever the jobs port throws, the signal's reason
 */
export async function reconcile(
  ports: { readonly records: Records; readonly jobs: JobsPort },
  options: ReconcileOptions = {},
): Promise<ReconcileReport> {
  const { records, jobs } = ports
  const { idleSeconds = 60, quick = false, dryRun = false } = options
  // Jobs first: a job that ends between the two questions makes us look once too often, never once too seldom.
  const liveJobs = await jobs.live()
  const report: ReconcileReport = {
    dryRun,
    openFiles: await countOpenFiles(records),
    liveJobs,
    looked: 0,
    lost: 0,
    requeued: 0,
    expiredLeases: 0,
    workersForgotten: dryRun ? 0 : (await forgetWorkers(records, DAY_S)).length,
    books: quick ? null : await fileBalance(records),
  }
  if (quick && report.liveJobs >= report.openFiles) return report
  for (const state of ['QUEUED', 'RUNNING'] as const) {
    let after: FileRow | undefined
    do {
      options.signal?.throwIfAborted()
      const page = await listOpenFiles(records, state, { idleSeconds, after, limit: PAGE })
      const lost = await jobs.lost(page)
      report.looked += page.length
      report.lost += lost.length
      if (state === 'RUNNING') report.expiredLeases += page.length
      if (!dryRun && lost.length > 0) report.requeued += await jobs.deliver(lost)
      options.onProgress?.(report.looked)
      after = page.length < PAGE ? undefined : page.at(-1)
    } while (after !== undefined)
  }
  return report
}

/** Whether the books need a person: files lost or counted twice, dead ones that no one is told of. */
export function isUnbalanced(books: FileBalance): boolean {
  return books.difference !== 0 || books.deadWithoutLetter !== 0 || books.strayCommits !== 0
}
