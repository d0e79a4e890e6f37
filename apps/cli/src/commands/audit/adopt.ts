import { ADOPTION, adoptAudit, adoptionDetail, chainAudit, type AdoptionDetail } from '@sealfleet/audit'
import { consumeRequest, createRequest } from '@sealfleet/records/operators'
import type { Records } from '@sealfleet/records'
import type { Command } from 'commander'
import type { CommandContext, CommonOptions } from '../../context.js'
import { requestReport } from '../operators/find-or-create-request.js'
import { openAuditPorts } from '../../services/audit.js'
import { requireReason } from '../../input/reason.js'
import { inTransaction } from '../../services/dry-run.js'
import { commonOptions, perform, type Runner } from '../../verb.js'

interface AdoptOptions extends CommonOptions {
  readonly reason: string
  readonly request?: string
}

export function auditAdoptVerb(audit: Command, runner: Runner): void {
  const adopt = audit
    .command('adopt')
    .description('continue the log from a database that was restored from a backup; needs two signatures')
    .requiredOption('--reason <text>', 'what was restored and why; it is signed, so give the same text both times')
    .option('--request <id>', 'the request that an officer and an auditor signed')
    .addHelpText(
      'after',
      `
A restored database ends with an older checkpoint than the store, and maintenance refuses to sign (AUDIT_BEHIND) so that no one
can roll it back unseen. Without --request this makes the request: have it signed by an officer and an auditor (\`requests show\`,
\`sign\`, \`approve\`). With it, a checkpoint is made above the store's last one that names it and the request. The gap between
is reported by \`audit verify\` forever.`,
    )
  perform<AdoptOptions>(commonOptions(adopt, { changes: true }), runner, adoptAction)
}

async function adoptAction(context: CommandContext, _args: readonly string[], o: AdoptOptions): Promise<void> {
  const { signal } = context
  const reason = requireReason(o.reason)
  const ports = await openAuditPorts(context, { access: o.request === undefined ? 'read-only' : 'read-write' })
  const detail = await adoptionDetail(ports, reason, signal)
  const gap = `checkpoints ${detail.database + 1} to ${detail.no} of the store are not in this database`
  const actor = `cli:${context.io.user}`
  if (o.dryRun === true) {
    await rehearse(ports.records, { request: o.request, detail, actor })
    await context.print.document({ ...detail, request: null, dryRun: true })
    return context.print.text(
      `${gap}; ${o.request === undefined ? 'a request would be made' : 'they would be adopted'}`,
    )
  }
  if (o.request === undefined) {
    const request = await createRequest(ports.records, { ...ADOPTION, detail, createdBy: actor })
    const { id } = request
    await context.print.document({ ...detail, request: requestReport(request), dryRun: false })
    await context.print.text(`${gap}\nrequest ${id}`)
    return context.print.note(
      `next: an officer and an auditor sign it (sealfleet requests show ${id} --body FILE), then --request ${id} with the same --reason`,
    )
  }
  await chainAudit(ports.records, { signal })
  const report = await adoptAudit(ports, { request: o.request, reason, actor, signal })
  await context.print.document({ ...detail, request: null, dryRun: false, ...report })
  await context.print.text(report.made === null ? gap : `${gap}: adopted\n${report.made.no}:${report.made.sha256}`)
}

/** Makes the request, or uses the signed one, then rolls back: a dry run reports what would be refused. */
function rehearse(
  records: Records,
  { request, detail, actor }: { request: string | undefined; detail: AdoptionDetail; actor: string },
): Promise<unknown> {
  return inTransaction(records, true, (tx) =>
    request === undefined
      ? createRequest(tx, { ...ADOPTION, detail, createdBy: actor })
      : consumeRequest(tx, { id: request, ...ADOPTION, consumedBy: actor, detail }),
  )
}
