import {
  failedRekeyItems,
  rekeyCounts,
  type FailedItem,
  type RekeyCounts,
  type RekeyRun,
} from '@sealfleet/records/rekey'
import type { Records } from '@sealfleet/records'
import { explainCode } from '../../describe-error.js'
import { pairs, table } from '../../output/table.js'
import { count, humanSize, humanTime } from '../../output/units.js'

/** Failed files that a report lists; the rest are counted. */
const MOST_FAILED = 20

export interface RunReport extends RekeyRun, RekeyCounts {
  readonly failed: readonly FailedItem[]
}

export async function runReport(records: Records, run: RekeyRun): Promise<RunReport> {
  const [counts, failed] = await Promise.all([
    rekeyCounts(records, run.id),
    failedRekeyItems(records, run.id, MOST_FAILED),
  ])
  return { ...run, ...counts, failed }
}

/** Items that have ended, with any outcome. */
export function endedOf({ items }: Pick<RekeyCounts, 'items'>): number {
  return items.DONE + items.SKIPPED + items.FAILED
}

function totalOf({ items }: Pick<RekeyCounts, 'items'>): number {
  return Object.values(items).reduce((sum, n) => sum + n, 0)
}

export function runText(report: RunReport): string {
  const { items } = report
  const lines = pairs([
    ['run', report.id],
    ['domain', report.domain],
    ['from version', String(report.fromVersion)],
    ['state', report.state],
    ['begun', `${humanTime(report.createdAt)} by ${report.createdBy}`],
    ...(report.finishedAt === null ? [] : [['ended', humanTime(report.finishedAt)] as const]),
    ['rate', report.filesPerSecond === null ? 'unlimited' : `${report.filesPerSecond} files a second`],
    [
      'files',
      `${totalOf(report)}${report.seededAt === null ? ' so far: still looking for more' : ''}, ${humanSize(report.bytes)}`,
    ],
    ['done', `${items.DONE}, ${humanSize(report.doneBytes)}`],
    ['under way', `${items.QUEUED} waiting, ${items.RUNNING} being sealed`],
    ['skipped', `${items.SKIPPED} (gone, or moved already)`],
    [
      'failed',
      [String(items.FAILED), ...Object.entries(report.failedByCode).map(([code, n]) => `${n} ${code}`)].join(', '),
    ],
  ])
  return report.failed.length === 0 ? lines : `${lines}\n\n${failedText(report)}`
}

function failedText({ failed, items }: RunReport): string {
  const columns = [{ title: 'FAILED FILE' }, { title: 'CODE' }, { title: 'WHY', sentence: true }]
  const rows = failed.map(({ fileId, code }) => [fileId, code, explainCode(code).message])
  const rest = items.FAILED - failed.length
  return `${table(columns, rows)}${rest > 0 ? `\nand ${count(rest, 'more file')}` : ''}`
}

export function runsText(reports: readonly RunReport[]): string {
  const columns = [
    { title: 'RUN' },
    { title: 'DOMAIN' },
    { title: 'FROM', align: 'right' },
    { title: 'STATE' },
    { title: 'DONE', align: 'right' },
    { title: 'OF', align: 'right' },
    { title: 'FAILED', align: 'right' },
    { title: 'BEGUN' },
  ] as const
  const rows = reports.map((report) => [
    report.id,
    report.domain,
    String(report.fromVersion),
    report.state,
    String(report.items.DONE),
    String(totalOf(report)),
    String(report.items.FAILED),
    humanTime(report.createdAt),
  ])
  return table(columns, rows)
}
