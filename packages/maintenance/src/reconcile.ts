import { fileBalance, countOpenFiles, listOpenFiles, type FileBalance } from '@sealfleet/records/files'
import { forgetWorkers } from '@sealfleet/records/upkeep'
import type { FileRow, Records } from '@sealfleet/records'

/** The queue's part in reconciling. */
export interface JobsPort {
  /** Jobs that will still run: waiting, delayed, active. One query, however many there are. */
  live(): Promise<number>
  /** Of these files, those without a job that will still run. */
  lost(files: readonly FileRow[]): Promise<readonly FileRow[]>
  /** Gives them jobs; harmless for a file that has got one meanwhile. @returns how many were added */
  deliver(files: readonly FileRow[]): Promise<number>
}

export interface ReconcileOptions {
  /** Files that changed state within this time are skipped: their job may still be added. Default 60. */
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
  /** Files without a job, and the number of them that got one. */
  lost: number
  requeued: number
  /** Among the files looked at: RUNNING ones whose lease has run out. The next claim takes them over. */
  expiredLeases: number
  /** Worker processes that were silent for a day and were deleted from the records. */
  workersForgotten: number
  /** The balance of the records; absent after a quick look. */
  readonly books: FileBalance | null
}

const PAGE = 500
const DAY_S = 24 * 60 * 60

/**
 * Compares the records with the queue: every open file must have a job that will run. Redis may have lost it (restart
 * without its file, a wipe, a producer that died between the two writes). Postgres knows every accepted file, so each
 * gets a new one. Repeating it, or running it beside workers, is harmless: a claim decides who works.
 * @throws RecordsError, errors of the jobs port, the signal's reason
 */
export async function reconcile(
  ports: { readonly records: Records; readonly jobs: JobsPort },
  options: ReconcileOptions = {},
): Promise<ReconcileReport> {
  const { records, jobs } = ports
  const { idleSeconds = 60, quick = false, dryRun = false } = options
  // Jobs first: a job that ends between the two queries causes one look too many, never one too few.
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

/** Whether the balance needs attention: files lost or counted twice, dead files without a letter. */
export function isUnbalanced(books: FileBalance): boolean {
  return books.difference !== 0 || books.deadWithoutLetter !== 0 || books.strayCommits !== 0
}
