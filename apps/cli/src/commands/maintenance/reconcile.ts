import { queueView } from '@sealfleet/queue'
import { isUnbalanced, reconcile, type ReconcileReport } from '@sealfleet/maintenance'
import { appendAudit } from '@sealfleet/records/audit'
import { fileStates } from '@sealfleet/records/files'
import type { Command } from 'commander'
import type { CommandContext, CommonOptions } from '../../context.js'
import { openIngest } from '../enqueue/deps.js'
import { EXIT, type ExitStatus } from '../../exit-status.js'
import { createCounter } from '../../output/counter.js'
import { pairs } from '../../output/table.js'
import { openDatabase } from '../../services/records.js'
import { commonOptions, perform, wholeNumberOption, type Runner } from '../../verb.js'

interface ReconcileOptions extends CommonOptions {
  readonly idle: number
}

export function reconcileVerb(run: Command, runner: Runner): void {
  const verb = run
    .command('reconcile')
    .description('compare Postgres with the queue, replace lost jobs, and check that every file is accounted for')
    .addOption(
      wholeNumberOption('--idle <seconds>', 'leave out files that changed state less than this ago', 0, 86_400).default(
        60,
      ),
    )
    .addHelpText(
      'after',
      `
Safe at any time and any number of times: a file's claim decides who works on it. The maintenance process does the same by
itself. Exit status 1: the books do not balance (docs/operate/runbook.md).`,
    )
  perform<ReconcileOptions>(commonOptions(verb, { changes: true }), runner, reconcileAction)
}

async function reconcileAction(
  context: CommandContext,
  _args: readonly string[],
  o: ReconcileOptions,
): Promise<ExitStatus> {
  const config = context.settings.load(['database', 'redis'])
  const records = await openDatabase(context, config)
  const { queue } = await openIngest(context, config, records)
  const jobs = queueView(queue, (ids) => fileStates(records, ids))
  const counter = createCounter(context.io, { noun: 'open files looked at', quiet: context.print.json })
  let report: ReconcileReport
  try {
    report = await reconcile(
      { records, jobs },
      { idleSeconds: o.idle, dryRun: o.dryRun, signal: context.signal, onProgress: (looked) => counter.update(looked) },
    )
  } finally {
    counter.stop()
  }
  const { requeued, lost, workersForgotten } = report
  if (requeued + workersForgotten > 0) {
    const detail = { requeued, lost, workersForgotten }
    const actor = `cli:${context.io.user}`
    await appendAudit(records, { actor, action: 'reconcile', subjectKind: 'queue', subjectId: 'ingest', detail })
  }
  const balanced = report.books === null || !isUnbalanced(report.books)
  await context.print.document({ ...report, balanced })
  await context.print.text(pairs(lines(report, balanced, o.dryRun === true)))
  return balanced ? EXIT.done : EXIT.failed
}

function lines(report: ReconcileReport, balanced: boolean, dryRun: boolean): [string, string][] {
  const { books } = report
  return [
    ['open files', String(report.openFiles)],
    ['live jobs', String(report.liveJobs)],
    ['without a job', `${report.lost}${dryRun ? ' (would get one)' : `, ${report.requeued} got a new one`}`],
    ['leases run out', String(report.expiredLeases)],
    ['workers forgotten', dryRun ? 'not looked at' : String(report.workersForgotten)],
    ...(books === null
      ? []
      : ([
          ['books', balanced ? 'balanced' : 'OUT OF BALANCE'],
          ['accepted − all states', String(books.difference)],
          ['dead without a letter', String(books.deadWithoutLetter)],
          ['stray commits', String(books.strayCommits)],
        ] as [string, string][])),
  ]
}
