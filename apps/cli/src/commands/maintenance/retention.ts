import { expire } from '@sealfleet/maintenance'
import { countPastRetention } from '@sealfleet/records/deletion'
import type { Command } from 'commander'
import type { CommandContext, CommonOptions } from '../../context.js'
import { confirm } from '../../input/confirm.js'
import { findDomain } from '../../input/domains.js'
import { createCounter } from '../../output/counter.js'
import { count } from '../../output/units.js'
import { openDatabase } from '../../services/records.js'
import { commonOptions, perform, type Runner } from '../../verb.js'
import { domainTable } from '../retention/index.js'

interface RetentionOptions extends CommonOptions {
  readonly domain?: string
  readonly yes?: boolean
}

export function retentionVerb(run: Command, runner: Runner): void {
  const verb = run
    .command('retention')
    .description('delete files past their retention that are under no hold')
    .option('--domain <id|name>', 'only this domain')
    .option('-y, --yes', 'do not ask')
    .addHelpText(
      'after',
      `
Files become DELETED in batches, each with a row in the audit log; their records stay, and say when and by whom. The next
sweep deletes every version of their objects (\`sealfleet maintenance run sweep\`, or maintenance). Maintenance does the same by itself where
SEALFLEET_RETENTION_DELETE=true. Stopped midway, the same command continues.`,
    )
  perform<RetentionOptions>(commonOptions(verb, { changes: true }), runner, retentionAction)
}

async function retentionAction(context: CommandContext, _args: readonly string[], o: RetentionOptions): Promise<void> {
  const records = await openDatabase(context, context.settings.load(['database']))
  const domain = o.domain === undefined ? undefined : (await findDomain(records, o.domain)).id
  if (o.dryRun !== true && o.yes !== true) {
    const domains = await countPastRetention(records, domain)
    const due = domains.reduce((sum, one) => sum + one.due, 0)
    if (due > 0) {
      await context.print.note(domainTable(domains))
      await confirm(context, `delete ${due}`)
    }
  }
  const counter = createCounter(context.io, { noun: 'files deleted', quiet: context.print.json })
  try {
    const report = await expire(
      { records },
      {
        domain,
        dryRun: o.dryRun,
        actor: `cli:${context.io.user}`,
        signal: context.signal,
        onProgress: (expired) => counter.update(expired),
      },
    )
    counter.stop()
    await context.print.document(report)
    const done =
      o.dryRun === true ? `${count(report.due, 'file')} would be deleted` : `${count(report.expired, 'file')} deleted`
    await context.print.text(`${done}, ${report.held} kept by holds`)
    if (report.expired > 0)
      await context.print.note('their objects go with the next sweep: sealfleet maintenance run sweep')
  } finally {
    counter.stop()
  }
}
