import type { CommandContext } from '../../context.js'
import { table } from '../../output/table.js'
import { doctorStatus, type CheckResult } from './check.js'

/** The findings as one JSON document, with `more` beside them, or as a table and then a fix for each fault. */
export async function report(
  { print }: CommandContext,
  findings: readonly CheckResult[],
  more: Readonly<Record<string, unknown>> = {},
): Promise<void> {
  await print.document({
    healthy: doctorStatus(findings) === 0,
    ...more,
    findings: findings.map(({ exitStatus: _exitStatus, ...rest }) => rest),
  })
  const timed = findings.some(({ ms }) => ms !== undefined)
  const columns = [
    { title: 'CHECK' },
    { title: 'STATE' },
    ...(timed ? [{ title: 'MS', align: 'right' } as const] : []),
    { title: 'WHAT', sentence: true },
  ]
  const rows = findings.map(({ check, state, code, detail, ms }) => [
    check,
    code === undefined ? state : `${state} (${code})`,
    ...(timed ? [ms === undefined ? '' : ms.toFixed(1)] : []),
    detail.split('\n')[0] ?? '',
  ])
  const painter = (padded: string, cell: string, column: number): string => {
    if (column !== 1 || cell === 'skipped') return padded
    return print.paint(cell === 'ok' ? 'good' : 'bad', padded)
  }
  await print.text(table(columns, rows, painter))
  for (const { check, state, detail, fix } of findings) {
    if (state !== 'failed' && state !== 'warning') continue
    const rest = detail.includes('\n') ? `\n${detail.split('\n').slice(1).join('\n')}` : ''
    await print.text(`\n${check}:${rest}\n  fix: ${fix ?? 'see the state above'}`)
  }
}
