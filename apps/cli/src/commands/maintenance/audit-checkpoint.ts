import { assertSignable, AuditError, chainAudit, checkpointAudit } from '@sealfleet/audit'
import { appendAudit, auditBacklog } from '@sealfleet/records/audit'
import type { Command } from 'commander'
import type { CommandContext, CommonOptions } from '../../context.js'
import { EXIT, type ExitStatus } from '../../exit-status.js'
import { openAuditPorts } from '../../services/audit.js'
import { commonOptions, perform, type Runner } from '../../verb.js'

export function auditCheckpointVerb(run: Command, runner: Runner): void {
  const verb = run
    .command('audit-checkpoint')
    .description('chain the log and sign its head now; prints the line that an auditor keeps')
    .addHelpText(
      'after',
      `
Maintenance does this by itself every SEALFLEET_AUDIT_CHECKPOINT_SECONDS. The line NO:SHA256 is what \`audit verify --expect\`
takes: keep it out of reach of anyone who can write to the database or the store. Needs the audit key in the HSM.`,
    )
  perform<CommonOptions>(commonOptions(verb, { changes: true }), runner, checkpointAction)
}

async function checkpointAction(
  context: CommandContext,
  _args: readonly string[],
  o: CommonOptions,
): Promise<ExitStatus> {
  const ports = await openAuditPorts(context, { access: 'read-write' })
  const { records } = ports
  const { signal } = context
  if (o.dryRun === true) {
    await assertSignable(ports, { signal })
    const waiting = await auditBacklog(records)
    await context.print.document({ dryRun: true, waiting })
    await context.print.text(`${waiting.rows} rows would be chained and signed`)
    return EXIT.done
  }
  await appendAudit(records, {
    actor: `cli:${context.io.user}`,
    action: 'audit.checkpoint',
    subjectKind: 'audit',
    subjectId: 'checkpoint',
  })
  const chained = await chainAudit(records, { signal })
  const report = await checkpointAudit(ports, { signal })
  const { made, differing } = report
  if (differing.length > 0)
    throw new AuditError(
      'AUDIT_BROKEN',
      `the store holds something else in the place of checkpoint ${differing.join(', ')}`,
    )
  await context.print.document({ dryRun: false, chained, ...report })
  await context.print.text(made === null ? 'nothing to sign: the chain has not grown' : `${made.no}:${made.sha256}`)
  if (chained.waiting.rows > 0)
    await context.print.note(
      `${chained.waiting.rows} rows wait for open transactions: the next checkpoint includes them`,
    )
  return EXIT.done
}
