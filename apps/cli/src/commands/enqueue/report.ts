import type { EnqueueResult, FileStatus } from '@sealfleet/queue'
import { getFiles } from '@sealfleet/records/files'
import type { Records } from '@sealfleet/records'
import { explainCode, statusOfCode } from '../../describe-error.js'
import { combineStatuses, EXIT, type ExitStatus } from '../../exit-status.js'
import type { Expansion } from '../../files/expand.js'
import type { Printer } from '../../output/printer.js'
import { table } from '../../output/table.js'
import { count, humanSize } from '../../output/units.js'
import type { PlannedFile } from './requests.js'
import { printable } from '../../output/printable.js'

/** One file's line of the report. */
export interface FileReport {
  readonly path: string
  readonly root: string
  readonly relativePath: string
  readonly size: number
  readonly fileId: string
  /** queued, already-queued, requeued, stored, dead, …; after a wait the final state in small letters */
  readonly outcome: string
  readonly code?: string
  readonly encKeyVersion?: number
  readonly sigKeyVersion?: number
  readonly objectKey?: string
}

/** On a terminal, more files than this are summarised. */
export const LIST_AT_MOST = 50

/** Joins the planned files with how they were accepted and how they ended. */
export async function reportFiles(
  records: Records,
  planned: readonly PlannedFile[],
  results: readonly EnqueueResult[],
  ended: ReadonlyMap<string, FileStatus>,
  withObjects: boolean,
): Promise<readonly FileReport[]> {
  const outcomes = planned.map(
    ({ fileId }, index) => ended.get(fileId)?.state.toLowerCase() ?? results[index]?.outcome ?? 'unknown',
  )
  const isWanted = (outcome: string | undefined): boolean =>
    outcome === 'dead' || (outcome === 'stored' && (withObjects || planned.length <= LIST_AT_MOST))
  const wanted = planned.filter((_, index) => isWanted(outcomes[index])).map(({ fileId }) => fileId)
  const recorded = await getFiles(records, wanted)
  const reports: FileReport[] = []
  for (const [index, file] of planned.entries()) {
    const result = results[index]
    const status = ended.get(file.fileId)
    const outcome = outcomes[index] ?? 'unknown'
    const found = recorded.get(file.fileId)
    const code = status?.code ?? result?.error?.code ?? found?.file.lastFailure?.code
    const { committed } = found ?? {}
    reports.push({
      path: file.shown,
      root: file.root,
      relativePath: file.path,
      size: file.size,
      fileId: file.fileId,
      outcome,
      ...(code === undefined || outcome === 'stored' ? {} : { code }),
      ...(committed
        ? {
            encKeyVersion: committed.encKeyVersion,
            sigKeyVersion: committed.sigKeyVersion,
            objectKey: committed.objectKey,
          }
        : {}),
    })
  }
  return reports
}

const GOOD: ReadonlySet<string> = new Set([
  'queued',
  'already-queued',
  'requeued',
  'stored',
  'running',
  'would be enqueued',
])

/** Whether a file is queued, in progress or stored. */
export function isGood(outcome: string): boolean {
  return GOOD.has(outcome)
}

/** The exit status: 0 when every file is queued, in progress or stored; else the status all failures share, or 1. */
export function statusOf(reports: readonly FileReport[]): ExitStatus {
  return combineStatuses(
    reports.map(({ outcome, code }) =>
      GOOD.has(outcome) ? EXIT.done : code === undefined ? EXIT.failed : statusOfCode(code),
    ),
  )
}

export async function printReport(
  print: Printer,
  reports: readonly FileReport[],
  { skipped, unnameable }: Pick<Expansion, 'skipped' | 'unnameable'>,
  extra: Readonly<Record<string, unknown>>,
): Promise<void> {
  const byOutcome: Record<string, number> = {}
  for (const { outcome } of reports) byOutcome[outcome] = (byOutcome[outcome] ?? 0) + 1
  const bytes = reports.reduce((sum, { size }) => sum + size, 0)
  const failed = reports.filter(({ outcome }) => !GOOD.has(outcome))
  const errors = [...new Set(failed.map(({ code, outcome }) => code ?? outcome.toUpperCase()))].map(explainCode)
  const [error] = errors
  const summary = { files: reports.length, bytes, byOutcome }
  await print.document({
    ...extra,
    files: reports,
    skipped,
    badNames: unnameable,
    summary,
    ...(error ? { error } : {}),
  })
  const shown = reports.length <= LIST_AT_MOST ? reports : failed.slice(0, LIST_AT_MOST)
  if (shown.length > 0) await print.text(filesTable(print, shown))
  const outcomes = Object.entries(byOutcome)
    .map(([outcome, n]) => `${n} ${outcome}`)
    .join(', ')
  await print.text(`${count(reports.length, 'file')}, ${humanSize(bytes)}: ${outcomes}`)
  for (const { code, message, fix } of errors) await print.note(`${code}: ${message}\n  fix: ${fix}`)
  const leftOut = [...unnameable, ...skipped]
  for (const { shown: path, reason } of leftOut.slice(0, LIST_AT_MOST))
    await print.note(`skipped ${printable(path)}: ${reason}`)
  if (leftOut.length > LIST_AT_MOST) await print.note(`skipped ${leftOut.length - LIST_AT_MOST} more`)
}

export function filesTable(print: Printer, reports: readonly FileReport[]): string {
  const stored = reports.some(({ objectKey }) => objectKey !== undefined)
  const columns = [
    { title: 'FILE' },
    { title: 'SIZE', align: 'right' } as const,
    { title: 'STATE' },
    ...(stored ? [{ title: 'KEYS' }, { title: 'OBJECT' }] : []),
    { title: 'ID' },
  ]
  const rows = reports.map((r) => [
    r.path,
    humanSize(r.size),
    r.code === undefined ? r.outcome : `${r.outcome} (${r.code})`,
    ...(stored
      ? [r.encKeyVersion === undefined ? '-' : `enc ${r.encKeyVersion}, sig ${r.sigKeyVersion}`, r.objectKey ?? '-']
      : []),
    r.fileId,
  ])
  return table(columns, rows, (padded, _cell, column) => {
    if (column !== 2) return padded
    if (padded.startsWith('stored')) return print.paint('good', padded)
    return /^(dead|conflict|invalid|discarded|deleted)/.test(padded) ? print.paint('bad', padded) : padded
  })
}
