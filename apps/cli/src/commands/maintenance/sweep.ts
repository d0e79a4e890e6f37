import { scan, sweep, type SweepReport } from '@sealfleet/maintenance'
import type { Command } from 'commander'
import type { CommandContext, CommonOptions } from '../../context.js'
import { EXIT, type ExitStatus } from '../../exit-status.js'
import { createCounter } from '../../output/counter.js'
import { pairs, table } from '../../output/table.js'
import { humanSize, humanTime } from '../../output/units.js'
import { openDatabase } from '../../services/records.js'
import { openObjectStore } from '../../services/store.js'
import { commonOptions, perform, wholeNumberOption, type Runner } from '../../verb.js'

interface SweepVerbOptions extends CommonOptions {
  readonly scan?: boolean
  readonly grace?: number
}

export function sweepVerb(run: Command, runner: Runner): void {
  const verb = run
    .command('sweep')
    .description('delete what dead attempts left in the store; never a file’s only copy')
    .option(
      '--scan',
      'read the whole listing of the bucket: finds objects that came late, and stored files whose object is gone',
    )
    .addOption(
      wholeNumberOption(
        '--grace <seconds>',
        'leave what ended less than this ago (default: SEALFLEET_SWEEP_GRACE_SECONDS)',
        0,
        2_592_000,
      ),
    )
    .addHelpText(
      'after',
      `
An object goes only when its file is stored in another one that was just seen in the store, or was discarded or deleted;
the old object of a re-encrypted file goes the same way, SEALFLEET_SUPERSEDED_GRACE_SECONDS later; unfinished uploads go
when their attempt is over. Each deletion leaves a row in the audit log (\`trace ID\`). What the
database does not know is never deleted. The maintenance process does the same by itself. Exit status 1: a stored file's
object is missing or changed (docs/operate/runbook.md).`,
    )
  perform<SweepVerbOptions>(commonOptions(verb, { changes: true }), runner, sweepAction)
}

async function sweepAction(
  context: CommandContext,
  _args: readonly string[],
  o: SweepVerbOptions,
): Promise<ExitStatus> {
  const config = context.settings.load(['database', 's3', 'maintenance'])
  const records = await openDatabase(context, config)
  const store = await openObjectStore(config, { access: 'read-write', context })
  context.defer(() => store.close())
  const noun = o.scan === true ? 'objects and attempts looked at' : 'attempts and uploads looked at'
  const counter = createCounter(context.io, { noun, quiet: context.print.json })
  let report: SweepReport
  try {
    report = await (o.scan === true ? scan : sweep)(
      { records, store },
      {
        graceSeconds: o.grace ?? config.maintenance.sweepGraceSeconds,
        supersededGraceSeconds: config.maintenance.supersededGraceSeconds,
        dryRun: o.dryRun,
        actor: `cli:${context.io.user}`,
        signal: context.signal,
        onProgress: (looked) => counter.update(looked),
      },
    )
  } finally {
    counter.stop()
  }
  await context.print.document({ ...report, scan: o.scan === true })
  await context.print.text(pairs(lines(report, o.scan === true)))
  for (const text of report.blind) await context.print.text(text)
  if (report.found > 0) await findings(context, report)
  return report.found === 0 ? EXIT.done : EXIT.failed
}

function lines(report: SweepReport, scanned: boolean): [string, string][] {
  const would = report.dryRun ? ' (would be)' : ''
  return [
    [`attempts abandoned${would}`, String(report.abandoned)],
    [`objects deleted${would}`, `${report.objectsDeleted} (${humanSize(report.bytesDeleted)})`],
    ...(scanned ? [] : ([[`uploads aborted${would}`, String(report.uploadsAborted)]] as [string, string][])),
    ...(scanned ? [] : ([[`probes’ remains deleted${would}`, String(report.probesDeleted)]] as [string, string][])),
    ['left: under way or young', String(report.underWay)],
    ...lockedLine(report),
    ...(scanned ? ([['left: maybe an only copy', String(report.onlyCopies)]] as [string, string][]) : []),
    ['left: unknown', String(report.unknown)],
    ...(scanned ? ([['objects kept and right', String(report.kept)]] as [string, string][]) : []),
    ['findings', String(report.found)],
  ]
}

/** No line when nothing is locked: most buckets have no object lock. */
function lockedLine({ locked, lockedUntil }: SweepReport): [string, string][] {
  if (locked === 0) return []
  const first = lockedUntil === null ? '' : `, the first until ${humanTime(lockedUntil)}`
  return [['left: locked', `${locked}${first}`]]
}

async function findings(context: CommandContext, report: SweepReport): Promise<void> {
  const columns = [{ title: 'FINDING' }, { title: 'FILE' }, { title: 'OBJECT' }]
  const rows = report.findings.map(({ kind, fileId, objectKey }) => [kind, fileId, objectKey])
  const paint = (padded: string, cell: string): string =>
    cell === 'missing' || cell === 'changed' ? context.print.paint('bad', padded) : padded
  await context.print.text(table(columns, rows, paint))
  if (report.found > rows.length) await context.print.text(`and ${report.found - rows.length} more`)
}
