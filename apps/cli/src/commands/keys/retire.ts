import type { Role } from '@sealfleet/format'
import { getMasterKey, listMasterKeys, retireMasterKey } from '@sealfleet/records/keys'
import { Option, type Command } from 'commander'
import { CliError, usageError } from '../../cli-error.js'
import type { CommandContext, CommonOptions } from '../../context.js'
import { EXIT } from '../../exit-status.js'
import { findDomain } from '../../input/domains.js'
import { requireReason } from '../../input/reason.js'
import { openDatabase } from '../../services/records.js'
import { commonOptions, perform, type Runner } from '../../verb.js'

interface RetireOptions extends CommonOptions {
  readonly domain: string
  readonly role: Role
  readonly reason: string
  readonly yes?: boolean
}

export function retireVerb(keys: Command, runner: Runner): void {
  const retire = keys
    .command('retire')
    .description('retire the active version of a key without a successor: from now on it only opens')
    .option('--domain <id|name>', 'the key domain', 'default')
    .addOption(
      new Option('--role <role>', 'which key').choices(['enc', 'sig', 'kek', 'audit']).makeOptionMandatory(true),
    )
    .requiredOption('--reason <text>', 'why, for the audit log')
    .option('--yes', 'I know that the domain takes no new files from then on')
    .addHelpText(
      'after',
      `
What is stored stays readable. New files of the domain are refused with NO_ACTIVE_KEY, and wait, until \`keys init\` makes a
new version: to keep sealing, use \`keys rotate\` instead, which leaves no gap.`,
    )
  perform<RetireOptions>(commonOptions(retire, { changes: true }), runner, retireAction)
}

async function retireAction(context: CommandContext, _args: readonly string[], o: RetireOptions): Promise<void> {
  const reason = requireReason(o.reason)
  const records = await openDatabase(context, context.settings.load(['database']))
  const named = await findDomain(records, o.domain)
  const domain = o.role === 'audit' ? { ...named, id: 'default' } : named
  const [active] = await listMasterKeys(records, { domain: domain.id, role: o.role, state: 'ACTIVE' })
  if (active === undefined)
    throw nothingActive(o, (await getMasterKey(records, { domain: domain.id, role: o.role, version: 1 })) !== undefined)
  const actor = `cli:${context.io.user}`
  const effect =
    o.role === 'audit'
      ? 'checkpoints and destructions cannot be signed until a new audit key is made'
      : `domain ${domain.name} takes no new files (NO_ACTIVE_KEY) until it is given a new ${o.role} key`
  if (o.dryRun === true) {
    await retireMasterKey(records.rehearsal(), { ref: { domain: domain.id, role: o.role }, actor, reason })
    await context.print.document({ dryRun: true, label: active.label, state: active.state, effect })
    return context.print.text(`would retire ${active.label}: ${effect}`)
  }
  if (o.yes !== true)
    throw usageError(`retiring ${active.label} means: ${effect}`, 'confirm with --yes, or use `sealfleet keys rotate`')
  const row = await retireMasterKey(records, {
    ref: { domain: domain.id, role: o.role },
    actor,
    reason,
  })
  await context.print.document({ dryRun: false, label: row.label, state: row.state, effect })
  await context.print.text(`${row.label} is ${row.state}: ${effect}`)
}

function nothingActive({ domain, role }: RetireOptions, known: boolean): CliError {
  return known
    ? new CliError('BAD_STATE', `no ${role} key of domain ${domain} is active`, {
        exitStatus: EXIT.failed,
        fix: 'see `sealfleet keys list`',
      })
    : new CliError('NOT_FOUND', `domain ${domain} has no ${role} key`, {
        exitStatus: EXIT.missing,
        fix: 'see `sealfleet keys list`',
      })
}
