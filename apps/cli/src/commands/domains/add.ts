import { appendAudit } from '@sealfleet/records/audit'
import { ensureDomain, listDomains } from '@sealfleet/records/fleet'
import type { Command } from 'commander'
import { randomUUID } from 'node:crypto'
import { CliError, usageError } from '../../cli-error.js'
import type { CommandContext, CommonOptions } from '../../context.js'
import { assertDomainName, assertLossAccepted, policyOf, policyOptions, type PolicyOptions } from './policy-options.js'
import { EXIT } from '../../exit-status.js'
import { openDatabase } from '../../services/records.js'
import { inTransaction } from '../../services/dry-run.js'
import { commonOptions, perform, type Runner } from '../../verb.js'
import { printable } from '../../output/printable.js'

interface AddOptions extends CommonOptions, PolicyOptions {
  readonly id?: string
}

export function domainsAddVerb(domains: Command, runner: Runner): void {
  const add = domains
    .command('add')
    .description('create a key domain; `keys init --domain NAME` then creates its keys')
    .argument('<name>', 'the name of the domain')
    .option('--id <uuid>', 'its id in every header (default: a new one)')
  policyOptions(add, { suite: '1: AES-128-CTR (the default), 2: AES-256-CTR' }).addHelpText(
    'after',
    `
Without options: suite 1, inline nonces, segments of 1 MiB, no rotation due, files kept forever. All but the id can be
changed later (\`domains set\`).`,
  )
  perform<AddOptions>(commonOptions(add, { changes: true }), runner, addAction)
}

async function addAction(context: CommandContext, [name = '']: readonly string[], o: AddOptions): Promise<void> {
  const id = o.id?.toLowerCase() ?? randomUUID()
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(id))
    throw usageError(`--id ${printable(o.id ?? '')} is not a UUID`)
  assertDomainName(name)
  assertLossAccepted(o)
  const { suite = 1, nonceMode = 'inline', segLog2 = 20, rotationDays = null, retentionDays = null } = policyOf(o)
  const policy = { name, suite, nonceMode, segLog2, rotationDays, retentionDays }
  const input = { id, ...policy, lossAcknowledged: nonceMode === 'detached' }
  const records = await openDatabase(context, context.settings.load(['database']))
  const taken = (await listDomains(records)).find((domain) => domain.name === name && domain.id !== id)
  if (taken) {
    const fix = `choose another name, or --id ${taken.id} if that one is meant`
    throw new CliError('CONFLICT', `domain "${name}" exists already: ${taken.id}`, { exitStatus: EXIT.failed, fix })
  }
  const created = await inTransaction(records, o.dryRun, async (tx) => {
    const made = await ensureDomain(tx, input)
    if (made.created) {
      const subject = { subjectKind: 'domain', subjectId: id }
      await appendAudit(tx, { ...subject, actor: `cli:${context.io.user}`, action: 'domains.add', detail: policy })
    }
    return made.created
  })
  await context.print.document({ ...input, created: created && o.dryRun !== true, dryRun: o.dryRun === true })
  const remark = !created ? '  (was there)' : o.dryRun === true ? '  (would be made)' : ''
  await context.print.text(`${name}  ${id}${remark}`)
  if (created && o.dryRun !== true) await context.print.note(`next: sealfleet keys init --domain ${name}`)
}
