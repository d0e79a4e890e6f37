import type { Command } from 'commander'
import { missingError } from '../../cli-error.js'
import type { CommandContext, CommonOptions } from '../../context.js'
import { overview, overviewTable, overviewText } from './overview.js'
import { findDomain } from '../../input/domains.js'
import { openDatabase } from '../../services/records.js'
import { commonOptions, perform, type Runner } from '../../verb.js'
import { domainsAddVerb } from './add.js'
import { domainsSetVerb } from './set.js'
import { printable } from '../../output/printable.js'

export function domainsVerbs(program: Command, runner: Runner): void {
  const domains = program
    .command('domains')
    .description('list, add and change key domains (retention classes), each with its own master keys')

  const list = domains
    .command('list')
    .description('list the key domains: policies, active keys, the next rotation, files and holds')
  perform<CommonOptions>(commonOptions(list, { changes: false }), runner, listAction)

  const show = domains
    .command('show')
    .description(
      'show one key domain: policy, the age of its active keys, the next rotation due, files by state, holds',
    )
    .argument('<name>', 'its name or id')
  perform<CommonOptions>(commonOptions(show, { changes: false }), runner, showAction)

  domainsAddVerb(domains, runner)
  domainsSetVerb(domains, runner)
}

async function listAction(context: CommandContext): Promise<void> {
  const records = await openDatabase(context, context.settings.load(['database']))
  const domains = await overview(records)
  await context.print.document({ domains })
  await context.print.text(
    domains.length === 0 ? 'no domains yet: sealfleet keys init makes the default one' : overviewTable(domains),
  )
}

async function showAction(context: CommandContext, [name = '']: readonly string[]): Promise<void> {
  const records = await openDatabase(context, context.settings.load(['database']))
  const { id } = await findDomain(records, name)
  const domain = (await overview(records)).find((one) => one.id === id)
  if (domain === undefined) throw missingError('NOT_FOUND', `there is no key domain "${printable(name)}"`)
  await context.print.document(domain)
  await context.print.text(overviewText(domain))
}
