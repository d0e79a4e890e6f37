import { searchAudit } from '@sealfleet/records/audit'
import type { AuditRow } from '@sealfleet/records'
import type { Command } from 'commander'
import { usageError } from '../../cli-error.js'
import type { CommandContext, CommonOptions } from '../../context.js'
import { createCounter } from '../../output/counter.js'
import { printable } from '../../output/printable.js'
import { toJson } from '../../output/printer.js'
import { table } from '../../output/table.js'
import { humanTime } from '../../output/units.js'
import { openDatabase } from '../../services/records.js'
import { commonOptions, perform, wholeNumberOption, type Runner } from '../../verb.js'
import { auditAdoptVerb } from './adopt.js'
import { auditVerifyVerb } from './verify.js'

interface LogOptions extends CommonOptions {
  readonly since?: string
  readonly actor?: string
  readonly action?: string
  readonly subject?: string
  readonly limit: number
}

export function auditVerbs(program: Command, runner: Runner): void {
  const audit = program
    .command('audit')
    .description('read and verify the audit log: who did what, and the proof that it is unchanged')
  auditVerifyVerb(audit, runner)

  const log = audit
    .command('log')
    .description('list rows of the audit log, the newest last')
    .option('--since <when>', 'from this time on (ISO 8601), or this long ago: 30m, 6h, 7d')
    .option('--actor <name>', 'only rows of this operator or process')
    .option('--action <name>', 'only this action; a name that ends in a dot selects all that begin with it (`file.`)')
    .option('--subject <id>', 'only rows about this file, key, domain, …')
    .addOption(wholeNumberOption('--limit <n>', 'at most this many rows, the newest', 1, 100_000).default(200))
    .addHelpText(
      'after',
      `
--subject and --action use an index. --actor alone walks the log backwards, 10,000 rows at a time: give --since as well
where the log is long.`,
    )
  perform<LogOptions>(commonOptions(log, { changes: false }), runner, logAction)

  auditAdoptVerb(audit, runner)
}

async function logAction(context: CommandContext, _args: readonly string[], o: LogOptions): Promise<void> {
  const { actor, action, subject: subjectId, limit } = o
  const since = o.since === undefined ? undefined : timeOf(o.since)
  const records = await openDatabase(context, context.settings.load(['database']))
  const filter = { since, actor, action, subjectId, limit }
  const counter = createCounter(context.io, { noun: 'rows looked at', quiet: context.print.json })
  const onLooked = (looked: number): void => counter.update(looked)
  let rows: readonly AuditRow[]
  try {
    rows = await searchAudit(records, filter, { signal: context.signal, onLooked })
  } finally {
    counter.stop()
  }
  for (const row of rows) await context.print.line(row)
  const columns = [
    { title: 'WHEN' },
    { title: 'WHO' },
    { title: 'WHAT' },
    { title: 'SUBJECT' },
    { title: 'DETAIL', sentence: true } as const,
  ]
  const cells = rows.map((row) => [
    humanTime(row.at),
    row.actor,
    row.action,
    `${row.subjectKind} ${row.subjectId}`,
    toJson(row.detail),
  ])
  await context.print.text(rows.length === 0 ? 'no such rows' : table(columns, cells))
}

function timeOf(text: string): Date {
  const [, n, unit = ''] = /^(\d{1,6})([smhd])$/.exec(text) ?? []
  const seconds = { s: 1, m: 60, h: 3_600, d: 86_400 }[unit]
  const at =
    n === undefined || seconds === undefined ? new Date(text) : new Date(Date.now() - Number(n) * seconds * 1000)
  if (Number.isNaN(at.getTime()))
    throw usageError(`--since ${printable(text)} is neither a time (2026-11-28T12:00Z) nor an age (6h)`)
  return at
}
